//! The job that deletes what has expired, in batches. Each is a transaction, so that the job may be stopped or killed at any
//! time, and may run twice at once.

mod report;

use report::{Deleted, End, Report};
use shared::{
    config::Env,
    database::{Database, Reason, Transaction},
    deadline::Deadline,
    idempotency,
    runtime::{Job, Outcome},
    streams::{self, Retention},
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How many rows a transaction deletes, at most: few enough that others never wait for its end.
const BATCH: u32 = 1000;
/// How long before the platform ends it the job stops, so that its report is written.
const MARGIN: Duration = Duration::from_millis(500);

/// The job as every life runs it.
pub fn job(env: &Env) -> Job {
    let database = Database::from_env(env);
    let max_age = idempotency::max_age(env);
    let retention = Retention::from_env(env);
    Box::new(move |arguments, format, deadline| {
        let sweep = Sweep {
            database: database.clone(),
            max_age,
            retention: retention.clone(),
            deadline: deadline.before(MARGIN),
        };
        Box::pin(async move {
            let report = match arguments.as_slice() {
                [] => sweep.run().await,
                _ => Report::usage(),
            };
            Outcome {
                success: report.end == End::Swept,
                report: report.in_format(format),
            }
        })
    })
}

struct Sweep {
    database: Database,
    max_age: Duration,
    retention: Vec<Retention>,
    deadline: Deadline,
}

/// How many rows a transaction has deleted, and whether there may be more.
type Batch = (u64, bool);

impl Sweep {
    async fn run(self) -> Report {
        let start = Instant::now();
        let mut deleted = Deleted::default();
        let end = self.all(&mut deleted).await.err().unwrap_or(End::Swept);
        if end == End::Stopped {
            // What cancels the statement leaves before the process ends; else its locks stay to its timeout.
            let _ = timeout(MARGIN / 2, self.database.until_jobs_have_left()).await;
        }
        Report {
            end,
            deleted,
            duration: start.elapsed(),
        }
    }

    async fn all(&self, deleted: &mut Deleted) -> Result<(), End> {
        let is_full = |rows| (rows, rows >= u64::from(BATCH));
        self.in_batches(&mut deleted.idempotency_keys, async |transaction| {
            idempotency::delete_expired(transaction, self.max_age, BATCH)
                .await
                .map(is_full)
        })
        .await?;
        self.in_batches(&mut deleted.stream_rows, async |transaction| {
            streams::delete_ended(transaction, BATCH).await.map(is_full)
        })
        .await?;
        for retention in &self.retention {
            let mut after = 0;
            self.in_batches(&mut deleted.stream_rows, async |transaction| {
                let (rows, next) = retention.delete_old(transaction, after, BATCH).await?;
                after = next.unwrap_or(after);
                Ok((rows, next.is_some()))
            })
            .await?;
        }
        Ok(())
    }

    /// Runs `delete` in one transaction after the other until nothing is left. Counts what it has deleted.
    async fn in_batches(
        &self,
        deleted: &mut u64,
        mut delete: impl AsyncFnMut(&mut Transaction) -> sqlx::Result<Batch>,
    ) -> Result<(), End> {
        loop {
            let batch = tokio::select! {
                biased;
                () = self.deadline.ended() => return Err(End::Stopped),
                batch = self.database.transaction(&self.deadline, &mut delete) => batch,
            };
            let (rows, has_more) = batch.map_err(|error| End::Failed(Reason::from(&error)))?;
            *deleted += rows;
            if !has_more {
                return Ok(());
            }
        }
    }
}
