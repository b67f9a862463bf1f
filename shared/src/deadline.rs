//! When the answer to a request, or a job, has to end: at the platform's deadline, at its own age limit, or when this process
//! drains, whichever comes first. Everything that waits, waits under it.

use axum::{extract::FromRequestParts, http::request::Parts};
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may hold up the end of its request or its answer.
const GRACE: Duration = Duration::from_secs(1);

/// Longer than any process lives: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A job takes it as an argument, and so does a handler: it is an extractor that cannot fail. The default never comes.
///
/// As an extension of a response it marks an event stream, which ends then whether or not its client reads.
#[derive(Clone, Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    drain: CancellationToken,
}

impl Deadline {
    /// Comes `at` that time, if there is one, or when `drain` is cancelled.
    pub fn new(at: Option<Instant>, drain: CancellationToken) -> Self {
        Self { at, drain }
    }

    /// The same, or `at` where that is earlier.
    #[must_use]
    pub fn earlier(self, at: Instant) -> Self {
        Self {
            at: Some(self.cap(at)),
            ..self
        }
    }

    /// The same with the time moved forward by `margin`, for what has to be done before it comes. A drain comes as it did.
    #[must_use]
    pub fn before(self, margin: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: self.at.map(|at| at.checked_sub(margin).unwrap_or(now)),
            ..self
        }
    }

    /// `at`, or the deadline where that is earlier.
    pub fn cap(&self, at: Instant) -> Instant {
        self.at.map_or(at, |end| end.min(at))
    }

    /// Whether the deadline has come.
    pub fn has_come(&self) -> bool {
        self.is_draining() || self.left() == Some(Duration::ZERO)
    }

    /// The time that is left; `None` where only a drain ends it.
    pub fn left(&self) -> Option<Duration> {
        Some(self.at?.saturating_duration_since(Instant::now()))
    }

    /// Whether this process drains.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Returns when this process drains.
    pub fn drained(&self) -> WaitForCancellationFutureOwned {
        self.drain.clone().cancelled_owned()
    }

    /// What `work` returns, or `None` a second after the deadline: the work is dropped then.
    pub async fn cut_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.overdue() => None,
        }
    }

    /// Returns when the deadline comes.
    pub async fn ended(&self) {
        let at = self.at.unwrap_or_else(|| Instant::now() + NEVER);
        let _ = timeout_at(at, self.drain.cancelled()).await;
    }

    /// Returns a second after the deadline: a client that does not send or read by then is cut off.
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
