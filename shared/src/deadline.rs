//! When a request or a job has to end: the earliest of the platform's deadline, an age limit, and the drain of this process.
//! Everything that waits is bounded by this deadline.

use axum::{extract::FromRequestParts, http::request::Parts};
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may hold up the end of its request or its answer after the deadline.
const GRACE: Duration = Duration::from_secs(1);

/// How long before the platform's deadline an answer that takes its time ends by itself.
pub const MARGIN: Duration = Duration::from_secs(1);

/// How much earlier than a request what it waits for has to end, so that its answer still arrives: a twentieth of the time
/// that is left, but 20 ms at least and 250 ms at most.
#[cfg(any(feature = "callers", feature = "database"))]
pub(crate) fn margin(left: Duration) -> Duration {
    (left / 20).clamp(Duration::from_millis(20), Duration::from_millis(250))
}

/// An argument of jobs and of handlers. As an extractor it cannot fail: without a deadline, one that never comes is used.
///
/// As an extension of a response it marks an event stream: the stream ends then, even if its client does not read.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    drain: CancellationToken,
}

impl Deadline {
    /// A deadline that comes at the time `at`, if any, or when `drain` is cancelled.
    pub fn new(at: Option<Instant>, drain: CancellationToken) -> Self {
        Self { at, drain }
    }

    /// The same deadline, or `at` if that is earlier.
    #[must_use]
    pub fn earlier(self, at: Instant) -> Self {
        Self {
            at: Some(self.cap(at)),
            ..self
        }
    }

    /// The same deadline, but `margin` earlier, so that there is time to clean up before it. A drain is not moved.
    #[must_use]
    pub fn before(self, margin: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: self.at.map(|at| at.checked_sub(margin).unwrap_or(now)),
            ..self
        }
    }

    /// `at`, or the time of the deadline if that is earlier.
    pub fn cap(&self, at: Instant) -> Instant {
        self.at.map_or(at, |end| end.min(at))
    }

    /// Whether the deadline has come.
    pub fn has_come(&self) -> bool {
        self.is_draining() || self.left() == Some(Duration::ZERO)
    }

    /// The time that is left; `None` if only a drain can end it.
    pub fn left(&self) -> Option<Duration> {
        Some(self.at?.saturating_duration_since(Instant::now()))
    }

    /// Whether this process is draining.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Returns when this process starts to drain.
    pub fn drained(&self) -> WaitForCancellationFutureOwned {
        self.drain.clone().cancelled_owned()
    }

    /// The result of `work`, or `None` if it was dropped a second after the deadline.
    pub async fn cut_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.overdue() => None,
        }
    }

    /// Returns when the deadline comes.
    pub async fn ended(&self) {
        let drained = self.drain.cancelled();
        match self.at {
            Some(at) => drop(timeout_at(at, drained).await),
            None => drained.await,
        }
    }

    /// Returns a second after the deadline: a client that has not sent or read everything by then is cut off.
    pub async fn overdue(&self) {
        self.ended().await;
        sleep(GRACE).await;
    }
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const MINUTE: Duration = Duration::from_secs(60);

    fn in_a_minute() -> Deadline {
        Deadline::default().earlier(Instant::now() + MINUTE)
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_counts_and_a_margin_is_left_before_it() {
        let start = Instant::now();
        let deadline = in_a_minute().earlier(start + MINUTE / 2).earlier(start + MINUTE);
        assert_eq!(deadline.left(), Some(MINUTE / 2));
        assert_eq!(deadline.cap(start + MINUTE), start + MINUTE / 2);
        let deadline = deadline.before(MINUTE / 4);
        deadline.ended().await;
        assert_eq!(start.elapsed().as_secs(), 15);
        assert!(deadline.has_come() && !deadline.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_a_deadline_at_once() {
        let drain = CancellationToken::new();
        let deadline = Deadline::new(None, drain.clone());
        assert!(!deadline.has_come() && deadline.left().is_none());
        drain.cancel();
        deadline.ended().await;
        assert!(deadline.has_come() && deadline.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_off_a_second_after_the_deadline() {
        let start = Instant::now();
        assert_eq!(in_a_minute().cut_off(sleep(MINUTE)).await, Some(()));
        assert_eq!(in_a_minute().cut_off(sleep(2 * MINUTE)).await, None);
        assert_eq!(start.elapsed().as_secs(), 60 + 61);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_extracts_the_deadline_of_its_request_or_one_that_never_comes() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let Ok(never) = Deadline::from_request_parts(&mut parts, &()).await;
        assert_eq!(never.left(), None);
        parts.extensions.insert(in_a_minute());
        let Ok(deadline) = Deadline::from_request_parts(&mut parts, &()).await;
        assert_eq!(deadline.left(), Some(MINUTE));
    }
}
