//! Event streams: an answer from any [`Stream`] of events, under a [`Deadline`].
//!
//! ```
//! use futures_util::{StreamExt, stream};
//! use shared::{deadline::Deadline, sse::{self, Event, LastEventId}};
//!
//! async fn numbers(settings: sse::Settings, deadline: Deadline, last: Option<LastEventId>) -> axum::response::Response {
//!     let last: u64 = last.and_then(|LastEventId(id)| id.parse().ok()).unwrap_or(0);
//!     let events = stream::iter(last + 1..=10).map(|number| Event::default().id(number).data("a number"));
//!     sse::stream(settings, deadline, events)
//! }
//! ```
//!
//! - The head and `retry:` leave at once. A comment follows whenever `SSE_HEARTBEAT_INTERVAL` has passed in silence.
//! - The stream ends between two events: with its source, at its max age, when this process drains, or one second before
//!   its deadline, which is the platform's or that of its caller: `deadline.earlier(at)`. A client that takes nothing is
//!   cut off a second after the end: at the deadline.
//! - Each event is asked for when the one before has been written, so a stream holds one event, whatever its source does
//!   and its client does not. The source is dropped as soon as the stream ends or its client has gone.
//! - An error of the source, or a panic, breaks the answer: no last chunk, a reset, or an error of the platform. Clients
//!   come back, and the log has the cause. What a client should see, the source sends as an event before it ends.
//! - A function that answers streams says so: [`Service::streamed`](crate::runtime::Service::streamed).

mod event;
mod events;
mod last_event_id;

use crate::{
    config::Env,
    deadline::{Deadline, MARGIN},
    random,
};
use axum::{
    BoxError, Error,
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use events::Events;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub use event::Event;
#[cfg(feature = "openapi")]
pub use event::EventSchema;
pub use last_event_id::LastEventId;

/// How long a client waits before it reconnects; sent with the first event of every stream.
pub const RETRY: Duration = Duration::from_secs(2);

/// The settings of event streams.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `SSE_HEARTBEAT_INTERVAL`: the time between two heartbeats, and the longest silence of any stream.
    pub heartbeat: Duration,
    /// `SSE_MAX_AGE`: the age at which a stream ends, give or take [`Settings::SPREAD`].
    pub max_age: Duration,
}

impl Settings {
    /// The share of its max age by which a stream ends earlier or later, so that clients do not all reconnect at once.
    pub const SPREAD: f64 = 0.2;

    /// Reads `SSE_HEARTBEAT_INTERVAL` (15 s) and `SSE_MAX_AGE` (5 min).
    pub fn from_env(env: &Env) -> Self {
        Self {
            heartbeat: env.duration("SSE_HEARTBEAT_INTERVAL", Duration::from_secs(15)),
            max_age: env.duration("SSE_MAX_AGE", Duration::from_secs(5 * 60)),
        }
    }

    /// The age at which one stream ends.
    fn age(&self) -> Duration {
        let share = 1.0 - Self::SPREAD + 2.0 * Self::SPREAD * random::fraction();
        self.max_age.mul_f64(share)
    }
}

/// An answer that sends the events of `source`.
pub fn stream(settings: Settings, deadline: Deadline, source: impl Stream<Item = Event> + Send + 'static) -> Response {
    try_stream(settings, deadline, source.map(Ok::<_, Infallible>))
}

/// The same from a source that may fail: an error breaks the answer, and the log has it.
pub fn try_stream<E: Into<BoxError> + 'static>(
    settings: Settings,
    deadline: Deadline,
    source: impl Stream<Item = Result<Event, E>> + Send + 'static,
) -> Response {
    let deadline = deadline.before(MARGIN).earlier(Instant::now() + settings.age());
    let source = source.map_err(Error::new).boxed();
    let mut response = Response::new(Body::new(Events::new(source, settings.heartbeat, deadline.clone())));
    // What cuts off a client that takes nothing.
    response.extensions_mut().insert(deadline);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    response
}

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    ),
    // Nginx and similar proxies buffer a response without this header.
    (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    ),
];

/// An answer that sends an event now and at every interval. Those that a slow client missed are left out.
pub fn heartbeats(settings: Settings, deadline: Deadline, next: fn() -> Event) -> Response {
    let mut interval = interval_at(Instant::now() + settings.heartbeat, settings.heartbeat);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // A tick that is due now comes up to a millisecond late: the first beat would miss the first write.
    let first = stream::once(std::future::ready(next()));
    let beats = first.chain(stream::poll_fn(move |cx| interval.poll_tick(cx).map(|_| Some(next()))));
    stream(settings, deadline, beats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio_util::sync::CancellationToken;

    const SETTINGS: Settings = Settings {
        heartbeat: Duration::from_secs(15),
        max_age: Duration::from_secs(300),
    };

    fn beat() -> Event {
        Event::default().data("ping")
    }

    /// The length of a stream's life and the number of its frames.
    async fn life(deadline: Deadline) -> (Duration, usize) {
        let start = Instant::now();
        let mut body = heartbeats(SETTINGS, deadline, beat).into_body();
        let mut frames = 0;
        while let Some(frame) = body.frame().await {
            let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
            assert!(text.ends_with("\n\n"), "cut inside an event: {text:?}");
            frames += 1;
        }
        (start.elapsed(), frames)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_opens_with_retry_and_a_heartbeat_without_waiting() {
        let start = Instant::now();
        let mut body = heartbeats(SETTINGS, Deadline::default(), beat).into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "retry: 2000\ndata: ping\n\n");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_end_at_their_max_age_give_or_take_a_fifth_and_not_together() {
        let mut ages = Vec::new();
        for _ in 0..20 {
            let (age, frames) = life(Deadline::default()).await;
            assert!((240..=361).contains(&age.as_secs()), "{age:?}");
            assert_eq!(frames as u128, 1 + (age.as_millis() - 2) / 15_000, "{age:?}");
            ages.push(age);
        }
        ages.sort();
        ages.dedup();
        assert!(ages.len() > 10, "clients come back together: {ages:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_a_second_before_the_deadline_of_the_platform() {
        let deadline = Deadline::default().earlier(Instant::now() + Duration::from_secs(20));
        let (age, frames) = life(deadline).await;
        assert_eq!((age.as_secs(), frames), (19, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_the_process_drains() {
        let drain = CancellationToken::new();
        let deadline = Deadline::new(None, drain.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            drain.cancel();
        });
        let (age, frames) = life(deadline).await;
        assert_eq!((age.as_secs(), frames), (40, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_that_a_slow_reader_missed_are_left_out() {
        let mut body = heartbeats(SETTINGS, Deadline::default(), beat).into_body();
        body.frame().await;
        tokio::time::advance(Duration::from_secs(100)).await;
        let start = Instant::now();
        body.frame().await;
        body.frame().await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
