//! How long a run may take: until a signal, or until shortly before the platform's deadline. The time in between is for
//! cancelling the running statement in the server, and for reporting what it has left.

use super::MigrateError;
use crate::lifetime::Lifetime;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What the end of a run may take, after a signal. Cloud Run kills 10 s after its signal.
const GRACE: Duration = Duration::from_secs(5);

/// Clones share what they know of the running statement.
#[derive(Clone, Default)]
pub(super) struct Limit {
    lifetime: Lifetime,
    /// When the platform's deadline has come so close that the run has to end.
    end: Option<Instant>,
    running: Arc<AtomicI32>,
}

impl Limit {
    /// Reserves a third of the time that is left, 5 s at most, for the end of the run.
    pub fn new(lifetime: Lifetime) -> Self {
        let reserve = |deadline: Instant| (deadline.saturating_duration_since(Instant::now()) / 3).min(GRACE);
        Self {
            end: lifetime.deadline.map(|deadline| deadline - reserve(deadline)),
            lifetime,
            running: Arc::default(),
        }
    }

    /// Waits until the run has to end.
    pub async fn ended(&self) {
        let run = Lifetime {
            deadline: self.end,
            drain: self.lifetime.drain.clone(),
        };
        run.ended().await;
    }

    /// What ended the run, if anything.
    pub fn cause(&self) -> Option<&'static str> {
        if self.lifetime.drain.is_cancelled() {
            Some("a signal")
        } else {
            self.end
                .is_some_and(|end| end <= Instant::now())
                .then_some("the platform's deadline")
        }
    }

    /// The error of a run that was stopped, with what it has left.
    pub fn stopped(&self, left: impl Into<String>) -> MigrateError {
        MigrateError::Stopped {
            cause: self.cause().unwrap_or("the platform's deadline"),
            left: left.into(),
        }
    }

    /// An error if the run has to end.
    pub fn check(&self, left: impl Into<String>) -> Result<(), MigrateError> {
        self.cause().map_or(Ok(()), |_| Err(self.stopped(left)))
    }

    /// Does what only waits or reads, and drops it when the run has to end.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, MigrateError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.ended() => Err(self.stopped("nothing else was changed")),
        }
    }

    /// The time for cancelling: most of what is reserved, because the report has to arrive as well.
    pub fn grace(&self) -> Duration {
        let left = self.lifetime.deadline.map_or(GRACE, |deadline| {
            deadline.saturating_duration_since(Instant::now()).mul_f64(0.8)
        });
        left.min(GRACE)
    }

    /// A timeout for the server that ends with the run, in case this process is gone by then.
    pub fn cap(&self, timeout: Duration) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        self.end.map_or(timeout, |end| left(end).min(timeout))
    }

    /// Notes the session that runs a file while `work` does, so that it can be cancelled.
    pub async fn running<T>(&self, session: i32, work: impl Future<Output = T>) -> T {
        self.running.store(session, Ordering::Relaxed);
        let done = work.await;
        self.running.store(0, Ordering::Relaxed);
        done
    }

    /// The process id of the session that runs a file.
    pub fn session(&self) -> Option<i32> {
        Some(self.running.load(Ordering::Relaxed)).filter(|session| *session != 0)
    }
}
