//! How long the answer to a request, or a job, may take: until the platform's deadline, or until this process drains.

use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a client may hold up the end of its request or its answer.
const GRACE: Duration = Duration::from_secs(1);

/// Longer than any process lives: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// An extension of every request, and an argument of every job; and an extension of an answer that is an event stream, which
/// ends then whoever reads it.
#[derive(Clone, Debug, Default)]
pub struct Lifetime {
    /// When the platform ends the request or the job by force, if it does.
    pub deadline: Option<Instant>,
    /// Cancelled when the process was asked to stop: what is open should end cleanly, soon.
    pub drain: CancellationToken,
}

impl Lifetime {
    /// Returns when all should have ended.
    pub async fn ended(&self) {
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + NEVER);
        let _ = timeout_at(deadline, self.drain.cancelled()).await;
    }

    /// Returns a second after all should have ended: who does not send or read by then is cut off.
    pub async fn overdue(&self) {
        self.ended().await;
        sleep(GRACE).await;
    }
}
