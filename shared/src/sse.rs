//! Event streams: the framing of `text/event-stream`, and the life of a stream from its first byte to its end.

use crate::{config::Env, deadline::Deadline, random};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use hyper::body::Frame;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How long a client waits before it reconnects; sent with the first event of every stream.
pub const RETRY: Duration = Duration::from_secs(2);

/// How long before the platform would cut it a stream ends.
const MARGIN: Duration = Duration::from_secs(1);

/// The settings of event streams.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `SSE_HEARTBEAT_INTERVAL`: the time between two heartbeats.
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
}

/// One event, as the HTML standard frames it
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event<'a> {
    /// What the client sends back as `Last-Event-ID`. NUL, which would make clients ignore it, is left out.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub id: Option<&'a str>,
    /// The event's type; `message` when `None`.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub event: Option<&'a str>,
    /// The payload. CR, LF and CRLF reach the client as LF.
    pub data: &'a str,
}

impl Event<'_> {
    /// The event on the wire, with its final blank line. No value of a field can add a field or end the event early.
    pub fn encode(&self) -> String {
        let mut frame = String::with_capacity(self.data.len() + 64);
        for (name, value) in [("id: ", self.id), ("event: ", self.event)] {
            if let Some(value) = value {
                frame.push_str(name);
                frame.extend(value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')));
                frame.push('\n');
            }
        }
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            frame.push_str("data: ");
            frame.push_str(line);
            frame.push('\n');
        }
        frame.push('\n');
        frame
    }
}

/// Opens a stream of heartbeats: `next` writes one event, now and at every interval, until the stream ends.
///
/// The stream ends at its max age (give or take a fifth, so that clients do not all reconnect at once), one second before
/// the platform's deadline, or when this process drains: whichever comes first, and always between two events. Events that a
/// slow client missed are left out, so a stream buffers one event at most.
pub fn heartbeats(settings: Settings, deadline: Deadline, next: fn() -> String) -> Response {
    let now = Instant::now();
    let share = 1.0 - Settings::SPREAD + 2.0 * Settings::SPREAD * random::fraction();
    let max_age = settings.max_age.mul_f64(share);
    let deadline = deadline.before(MARGIN).earlier(now + max_age);
    let body = Heartbeats {
        interval: settings.heartbeat,
        next,
        due: now,
        opened: false,
        timer: Box::pin(tokio::time::sleep_until(now)),
        drain: Box::pin(deadline.drained()),
        deadline: deadline.clone(),
    };
    let mut response = Response::new(Body::new(body));
    response.extensions_mut().insert(deadline);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // Nginx and similar proxies buffer a response without this header.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The body of a stream. It buffers nothing: each poll writes the event that is due.
struct Heartbeats {
    interval: Duration,
    next: fn() -> String,
    deadline: Deadline,
    due: Instant,
    opened: bool,
    timer: Pin<Box<Sleep>>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl hyper::body::Body for Heartbeats {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if !this.opened {
            this.opened = true;
            // `retry` is part of the first event, because some clients take a separate block for an empty event.
            let opening = format!("retry: {}\n", RETRY.as_millis()) + &(this.next)();
            this.due += this.interval;
            this.timer.as_mut().reset(this.deadline.cap(this.due));
            return Poll::Ready(Some(Ok(Frame::data(opening.into()))));
        }
        if this.drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        std::task::ready!(this.timer.as_mut().poll(cx));
        if this.deadline.has_come() {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        let late = (now - this.due).as_nanos() % this.interval.as_nanos();
        this.due = now + this.interval - Duration::from_nanos(late as u64);
        this.timer.as_mut().reset(this.deadline.cap(this.due));
        Poll::Ready(Some(Ok(Frame::data((this.next)().into()))))
    }
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

    fn beat() -> String {
        Event {
            data: "ping",
            ..Event::default()
        }
        .encode()
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

    #[test]
    fn line_ends_and_nul_in_any_field_cannot_break_the_framing() {
        let hostile = "a\r\nb\rc\nd\0e\n\nevent: forged";
        let event = Event {
            id: Some(hostile),
            event: Some(hostile),
            data: hostile,
        };
        let frame = event.encode();
        let lines: Vec<&str> = frame.split('\n').collect();
        assert_eq!(lines[0], "id: abcdeevent: forged");
        assert_eq!(lines[1], "event: abcdeevent: forged");
        assert_eq!(
            lines[2..],
            [
                "data: a",
                "data: b",
                "data: c",
                "data: d\0e",
                "data: ",
                "data: event: forged",
                "",
                ""
            ]
        );
        assert!(!frame.contains('\r'));
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
