//! How long a run may take: until a signal, or until shortly before the platform's deadline. The time in between is for
//! cancelling the running statement in the server, and for reporting what it has left.

use super::MigrateError;
use crate::deadline::Deadline;
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long a run may take to end after a signal. Cloud Run kills the process 10 s after its signal.
const GRACE: Duration = Duration::from_secs(5);

/// The shortest `statement_timeout`: the migrator's queries in the session of a file take less.
const SHORTEST: Duration = Duration::from_millis(100);

/// The limit of a run. Clones share which statement is running.
#[derive(Clone, Default)]
pub(super) struct Limit {
    deadline: Deadline,
    /// When the run has to end, so that what runs can be cancelled before the deadline.
    end: Deadline,
    /// The session that runs a file.
    running: Arc<Mutex<Option<i32>>>,
}

impl Limit {
    /// Reserves a third of the time that is left, 5 s at most, for the end of the run.
    pub fn new(deadline: Deadline) -> Self {
        let reserve = deadline.left().unwrap_or_default() / 3;
        Self {
            end: deadline.clone().before(reserve.min(GRACE)),
            deadline,
            running: Arc::default(),
        }
    }

    /// Waits until the run has to end.
    pub async fn ended(&self) {
        self.end.ended().await;
    }

    /// What ended the run, if anything.
    pub fn cause(&self) -> Option<&'static str> {
        if self.end.is_draining() {
            Some("a signal")
        } else {
            self.end.has_come().then_some("the platform's deadline")
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
        let left = self.deadline.left().map_or(GRACE, |left| left.mul_f64(0.8));
        left.min(GRACE)
    }

    /// A timeout for the server that ends with the run, in case this process is gone by then.
    pub fn cap(&self, timeout: Duration) -> Duration {
        self.end.left().map_or(timeout, |left| left.max(SHORTEST).min(timeout))
    }

    /// Notes the session that runs a file while `work` does, so that it can be cancelled. Returns when no cancel is under
    /// way any more: a late one would strike the question that comes after the file.
    pub async fn running<T>(&self, session: i32, work: impl Future<Output = T>) -> T {
        *self.running.lock().await = Some(session);
        let done = work.await;
        *self.running.lock().await = None;
        done
    }

    /// Cancels what a session runs, if one runs a file.
    pub async fn cancel(&self, cancel: impl AsyncFnOnce(i32)) {
        let running = self.running.lock().await;
        if let Some(session) = *running {
            cancel(session).await;
        }
    }

    /// Whether a session runs a file.
    pub async fn is_running(&self) -> bool {
        self.running.lock().await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    #[tokio::test]
    async fn a_file_is_over_only_when_no_cancel_is_under_way() {
        let limit = Limit::default();
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let file = limit.running(7, async {
            let _ = begun.await;
        });
        let mut cancelled = false;
        let cancel = limit.cancel(async |session| {
            assert_eq!(session, 7);
            begin.send(()).unwrap();
            sleep(Duration::from_millis(50)).await;
            cancelled = true;
        });
        let mut file = std::pin::pin!(file);
        assert!(timeout(Duration::from_millis(1), &mut file).await.is_err());
        tokio::select! {
            biased;
            () = cancel => file.await,
            () = &mut file => panic!("the file was over before its cancel"),
        }
        assert!(cancelled);
        limit.cancel(async |_| panic!("nothing runs")).await;
    }
}
