//! The check of the event stream: reads the stream as a browser would, and reports whether something on the way buffers
//! its events.

mod beats;
#[cfg(not(feature = "https"))]
mod plain_http;
mod source;

use axum::Router;
use beats::Pace;
use serde::Serialize;
use shared::{
    closed_set,
    health::{Measurement, Report, Status, Timestamp, milliseconds},
};
use source::{Opened, Source};
use std::time::Duration;
use tokio::time::Instant;

closed_set! {
    /// Why a stream is not live.
    enum Reason {
        /// `CHECK_URL` is not a valid URL.
        Misconfigured = "misconfigured",
        /// No connection, or no HTTP on it.
        Unreachable = "unreachable",
        /// Connecting takes too long.
        Timeout = "timeout",
        /// The response is not an event stream.
        NotAStream = "not_a_stream",
        /// Some or all of its events are held back.
        Buffered = "buffered",
        /// The stream ends after too few beats.
        Ended = "ended",
        /// The connection breaks.
        Broken = "broken",
    }
}

/// How long each step may take: connecting, the head of the response, and the first event.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a few beats from `url`, or without one from the routes of this binary, and reports their times.
pub async fn run(routes: Router, heartbeat: Duration, url: Option<String>) -> Report {
    let source = url.map_or(Source::Routes(routes), Source::Url);
    let start = Instant::now();
    let (encoding, result) = match source.open(source::BROWSER).await {
        Ok(opened) => (opened.encoding, examine(&source, opened, heartbeat, start).await),
        Err(reason) => (None, Err(reason)),
    };
    report(&result, encoding)
}

/// What the check measured on a live stream.
struct Found {
    first_event: Duration,
    pace: Pace,
}

/// Measures an open stream. The ids of a compressed stream cannot be read, so a second, plain stream gives the pace: the
/// compressed one is live if its bytes arrive at that pace.
async fn examine(source: &Source, opened: Opened, heartbeat: Duration, start: Instant) -> Result<Found, Reason> {
    if opened.encoding.is_none() {
        return found(opened, heartbeat, start).await;
    }
    let start = Instant::now();
    let plain = source.open(source::PLAIN).await?;
    let found = found(plain, heartbeat, start).await?;
    beats::holds_pace(found.pace, opened.body).await?;
    Ok(found)
}

async fn found(opened: Opened, heartbeat: Duration, start: Instant) -> Result<Found, Reason> {
    let (first, pace) = beats::read(opened.body, heartbeat).await?;
    Ok(Found {
        first_event: first - start,
        pace,
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
    /// The content coding that a browser gets, where the stream is compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    timestamp: Timestamp,
}

fn report(result: &Result<Found, Reason>, content_encoding: Option<&'static str>) -> Report {
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
        spread_ms: found.map(|found| milliseconds(found.pace.spread)),
        content_encoding,
        reason,
        timestamp,
    };
    Report::new(status, reason.map(Reason::as_str), timestamp, first_event, &body)
}
