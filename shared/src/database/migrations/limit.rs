//! How long a run may take: until a signal, or until shortly before the platform's deadline, so that the statement which
//! runs then can be cancelled in the server, and what it left behind be said.

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
    /// Of the time that is left, a third is for the end, 5 s at most.
    pub fn new(lifetime: Lifetime) -> Self {
        let reserve = |deadline: Instant| (deadline.saturating_duration_since(Instant::now()) / 3).min(GRACE);
        Self {
            end: lifetime.deadline.map(|deadline| deadline - reserve(deadline)),
            lifetime,
            running: Arc::default(),
        }
    }

    /// Waits for the end.
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

    /// The refusal of a run that has ended, and what it left.
    pub fn stopped(&self, left: impl Into<String>) -> MigrateError {
        MigrateError::Stopped {
            cause: self.cause().unwrap_or("the platform's deadline"),
            left: left.into(),
        }
    }

    /// Refuses to go on after the end.
    pub fn check(&self, left: impl Into<String>) -> Result<(), MigrateError> {
        self.cause().map_or(Ok(()), |_| Err(self.stopped(left)))
    }

    /// Drops what waits or reads, at the end.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, MigrateError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.ended() => Err(self.stopped("nothing else was changed")),
        }
    }

    /// What is left for cancelling and for saying so; most of the reserve, because the answer has to arrive as well.
    pub fn grace(&self) -> Duration {
        let left = self.lifetime.deadline.map_or(GRACE, |deadline| {
            deadline.saturating_duration_since(Instant::now()).mul_f64(0.8)
        });
        left.min(GRACE)
    }

    /// A timeout of the server's that ends with the run, should the process be gone by then.
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
