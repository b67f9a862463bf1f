//! The check of a stream: opens it as a client would, and tells a live stream from one that something buffers.

use axum::{
    body::Body,
    http::{Request, Response, header},
};
use http_body_util::BodyExt;
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde::Serialize;
use shared::{
    config::Stream,
    health::{Measurement, Report, Status, milliseconds},
    runtime::Outcome,
};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

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
    let request = Request::get(url.as_deref().unwrap_or(crate::PATH))
        .header(header::ACCEPT, "text/event-stream")
        .body(Body::empty())
        .map_err(|_| "misconfigured")?;
    let response = match url {
        None => crate::router(settings)
            .oneshot(request)
            .await
            .map_err(|never| match never {}),
        Some(_) => {
            let client = legacy::Client::builder(TokioExecutor::new()).build(connector(&request)?);
            let response = client.request(request).await;
            response.map(|response| response.map(Body::new)).map_err(|error| {
                tracing::error!(%error, "the stream cannot be opened");
                "unreachable"
            })
        }
    }?;
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let streams = media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if response.status() == 200 && streams {
        Ok(response)
    } else {
        tracing::error!(status = response.status().as_u16(), ?media_type, "not an event stream");
        Err("not_a_stream")
    }
}

#[cfg(feature = "https")]
fn connector(_: &Request<Body>) -> Result<hyper_rustls::HttpsConnector<legacy::connect::HttpConnector>, &'static str> {
    Ok(hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build())
}

/// TLS would make the function half as large again, for its check alone.
#[cfg(not(feature = "https"))]
fn connector(request: &Request<Body>) -> Result<legacy::connect::HttpConnector, &'static str> {
    if request.uri().scheme_str() == Some("http") {
        Ok(legacy::connect::HttpConnector::new())
    } else {
        tracing::error!("CHECK_URL must begin with http:// unless the function is built with the feature `https`");
        Err("misconfigured")
    }
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
struct Detail<'a> {
    stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spread_ms: Option<f64>,
}

fn report(result: &Result<Found, &'static str>) -> Report {
    let found = result.as_ref().ok();
    let first_event_ms = found.map(|found| milliseconds(found.first_event));
    let body = Detail {
        stream: if found.is_some() { "live" } else { "error" },
        first_event_ms,
        spread_ms: found.map(|found| milliseconds(found.spread)),
    };
    let first_event = Measurement {
        name: "stream:firstEvent",
        component: "component",
        observed: first_event_ms.map(|time| (time, "ms")),
    };
    let status = if found.is_some() {
        Status::Healthy
    } else {
        Status::Unhealthy
    };
    Report::new(status, body, result.as_ref().err().copied(), first_event)
}
