//! How long the answer to a request, or a job, may take: until the platform's deadline, or until this process drains.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An extension of every request, and an argument of every job.
#[derive(Clone, Debug, Default)]
pub struct Lifetime {
    /// When the platform ends the request or the job by force, if it does.
    pub deadline: Option<Instant>,
    /// Cancelled when the process was asked to stop: what is open should end cleanly, soon.
    pub drain: CancellationToken,
}
