//! The check: creates a stream, appends to it, reads it live, closes it and deletes it.

use bytes::Bytes;
use serde::Serialize;
use shared::{
    closed_set, database,
    deadline::Deadline,
    health::{Measurement, Report, Status, Timestamp, milliseconds},
    random,
    streams::{Append, Create, Cursor, Error, Expiry, Follow, Form, ReadFrom, Streams},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long the check may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A check that was killed leaves a stream for so many seconds.
const TTL: u32 = 60;
const LIMIT: usize = 1024;

closed_set! {
    /// What does not work, where the database does.
    enum Fault {
        /// The log refuses what it should do.
        Refused = "refused",
        /// What was read is not what was appended.
        Differs = "differs",
        /// What was appended did not arrive in time.
        NotLive = "not_live",
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Reason {
    Database(database::Reason),
    Streams(Fault),
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Database(reason) => reason.as_str(),
            Self::Streams(fault) => fault.as_str(),
        }
    }
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => Self::Database((&error).into()),
            Error::Refused(_) => Self::Streams(Fault::Refused),
        }
    }
}

pub async fn run(streams: Streams) -> Report {
    let deadline = Deadline::default().earlier(Instant::now() + PATIENCE);
    let path = format!("checks/{:032x}", random::u128());
    report(whole_life(&streams, &deadline, &path).await)
}

/// The life of a stream. Returns how long an append took to arrive at a reader.
async fn whole_life(streams: &Streams, deadline: &Deadline, path: &str) -> Result<Duration, Reason> {
    let create = Create {
        path: path.to_owned(),
        content_type: Some("text/plain".to_owned()),
        expiry: Some(Expiry::Ttl(TTL)),
        data: Some("first".into()),
        form: Form::Record,
        ..Create::default()
    };
    streams.create(deadline, create).await?;
    let page = streams.page(deadline, path, ReadFrom::Start, LIMIT).await?;
    expect(page.records.iter().map(|record| &record.data).eq(["first"]))?;
    let latency = live(streams, deadline, path, &page.cursor()).await?;
    streams.delete(deadline, path).await?;
    Ok(latency)
}

/// Waits at the end of the stream, then appends to it and closes it.
async fn live(streams: &Streams, deadline: &Deadline, path: &str, at: &Cursor) -> Result<Duration, Reason> {
    let last = Append {
        path: path.to_owned(),
        content_type: Some("text/plain".to_owned()),
        data: Some(Bytes::from_static(b"last")),
        form: Form::Record,
        close: true,
        ..Append::default()
    };
    let start = Instant::now();
    let (followed, appended) = tokio::join!(
        streams.follow(deadline, path, at, LIMIT),
        streams.append(deadline, last)
    );
    appended?;
    let Follow::Page(page) = followed? else {
        return Err(Reason::Streams(Fault::NotLive));
    };
    let is_last = page.records.iter().map(|record| &record.data).eq(["last"]);
    expect(is_last && page.head.closed)?;
    Ok(start.elapsed())
}

fn expect(holds: bool) -> Result<(), Reason> {
    holds.then_some(()).ok_or(Reason::Streams(Fault::Differs))
}

#[derive(Serialize)]
struct StreamsReport {
    status: Status,
    streams: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    timestamp: Timestamp,
}

fn report(lived: Result<Duration, Reason>) -> Report {
    let (latency, reason) = (lived.as_ref().ok(), lived.as_ref().err().copied());
    let latency_ms = latency.map(|latency| milliseconds(*latency));
    let (status, streams) = match latency {
        Some(_) => (Status::Healthy, "live"),
        None => (Status::Unhealthy, "error"),
    };
    let measured = Measurement {
        name: "streams:latency",
        component: "component",
        observed: latency_ms.map(|time| (time, "ms")),
    };
    let timestamp = Timestamp::now();
    let body = StreamsReport {
        status,
        streams,
        latency_ms,
        reason,
        timestamp,
    };
    Report::new(status, reason.map(Reason::as_str), timestamp, measured, &body)
}
