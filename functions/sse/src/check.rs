//! The check of a stream: opens it as a client would, and tells a live stream from one that something buffers.

use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, Uri, header},
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
#[cfg(not(feature = "https"))]
use hyper_util::rt::TokioIo;
use serde::Serialize;
use shared::{
    config::Stream,
    health::{Measurement, Report, Status, Timestamp, milliseconds},
    runtime::Outcome,
};
use std::{error::Error, time::Duration};
#[cfg(not(feature = "https"))]
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

type BoxError = Box<dyn Error + Send + Sync>;

/// How many beats are read.
const BEATS: usize = 3;
/// How long opening the stream, and then its first event, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a few beats from `url`, or from this binary's own router, and reports their times.
pub async fn run(settings: Stream, url: Option<String>) -> Outcome {
    let start = Instant::now();
    let result = match timeout(PATIENCE, open(settings, url)).await {
        Err(_) => Err("timeout"),
        Ok(Err(reason)) => Err(reason),
        Ok(Ok(response)) => read(response, settings.heartbeat, start).await,
    };
    let report = report(&result);
    Outcome {
        success: result.is_ok(),
        report: report.json().to_owned(),
    }
}

/// When a beat was sent, by its id, and when it arrived.
#[derive(Clone, Copy)]
struct Beat {
    sent_ms: i64,
    arrived: Instant,
}

struct Found {
    first_event: Duration,
    /// The largest difference between the time two beats were apart when sent and when they arrived.
    spread: Duration,
}

async fn open(settings: Stream, url: Option<String>) -> Result<Response<Body>, &'static str> {
    let response = match url {
        None => {
            let request = request(crate::PATH.parse().expect("the route is a path"));
            let Ok(response) = crate::router(settings).oneshot(request).await;
            response
        }
        Some(url) => {
            let url: Uri = url.parse().map_err(|_| "misconfigured")?;
            let response = send(&url).await.map_err(|error| {
                tracing::error!(error, "the stream cannot be opened");
                "unreachable"
            })?;
            response.map(Body::new)
        }
    };
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let streams = media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if response.status() == 200 && streams {
        Ok(response)
    } else {
        tracing::error!(status = response.status().as_u16(), ?media_type, "not an event stream");
        Err("not_a_stream")
    }
}

fn request(uri: Uri) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let accept = HeaderValue::from_static("text/event-stream");
    request.headers_mut().insert(header::ACCEPT, accept);
    *request.uri_mut() = uri;
    request
}

/// One request on a connection of its own.
async fn send(url: &Uri) -> Result<Response<Incoming>, BoxError> {
    let authority = url.authority().ok_or("CHECK_URL names no host")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = request(path.parse()?);
    request.headers_mut().insert(header::HOST, authority.as_str().parse()?);
    let (mut sender, connection) = http1::handshake(connect(url).await?).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

#[cfg(feature = "https")]
async fn connect(url: &Uri) -> Result<impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static, BoxError> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    connector.oneshot(url.clone()).await
}

/// TLS would make the function half as large again, for its check alone.
#[cfg(not(feature = "https"))]
async fn connect(url: &Uri) -> Result<impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static, BoxError> {
    if url.scheme_str() != Some("http") {
        return Err("CHECK_URL must begin with http:// unless the function is built with its feature https".into());
    }
    let address = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(80));
    Ok(TokioIo::new(TcpStream::connect(address).await?))
}

async fn read(response: Response<Body>, heartbeat: Duration, start: Instant) -> Result<Found, &'static str> {
    let mut body = response.into_body();
    let mut text = String::new();
    let mut beats: Vec<Beat> = Vec::new();
    while beats.len() < BEATS {
        let patience = if beats.is_empty() {
            PATIENCE
        } else {
            2 * heartbeat + PATIENCE
        };
        // The head came and the beats do not: something on the way holds them back.
        let frame = timeout(patience, body.frame()).await.map_err(|_| "buffered")?;
        let frame = frame.ok_or("ended")?.map_err(|_| "broken")?;
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let id = event.lines().find_map(|line| line.strip_prefix("id: "));
            if let Some(sent_ms) = id.and_then(|id| id.parse().ok()) {
                let arrived = Instant::now();
                beats.push(Beat { sent_ms, arrived });
            }
            text = rest.to_owned();
        }
    }
    judge(&beats, heartbeat, start)
}

fn judge(beats: &[Beat], heartbeat: Duration, start: Instant) -> Result<Found, &'static str> {
    let first = beats[0];
    let spread = beats.iter().map(|beat| {
        let sent = Duration::from_millis((beat.sent_ms - first.sent_ms).unsigned_abs());
        sent.abs_diff(beat.arrived - first.arrived)
    });
    let spread = spread.max().unwrap_or_default();
    if spread > heartbeat / 2 {
        return Err("buffered");
    }
    Ok(Found {
        first_event: first.arrived - start,
        spread,
    })
}

#[derive(Serialize)]
struct StreamReport {
    status: Status,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    timestamp: Timestamp,
}

fn report(result: &Result<Found, &'static str>) -> Report {
    let (found, reason) = (result.as_ref().ok(), result.as_ref().err().copied());
    let first_event_ms = found.map(|found| milliseconds(found.first_event));
    let first_event = Measurement {
        name: "stream:firstEvent",
        component: "component",
        observed: first_event_ms.map(|time| (time, "ms")),
    };
    let (status, stream) = match found {
        Some(_) => (Status::Healthy, "live"),
        None => (Status::Unhealthy, "error"),
    };
    let timestamp = Timestamp::now();
    let body = StreamReport {
        status,
        stream,
        first_event_ms,
        spread_ms: found.map(|found| milliseconds(found.spread)),
        reason,
        timestamp,
    };
    Report::new(status, reason, timestamp, first_event, &body)
}
