//! The job that deletes what has expired, in batches. Each is a transaction, so that the job may be stopped or killed at any
//! time, and may run twice at once.

mod report;

use report::{End, Report};
use shared::{
    config::Env,
    database::{Database, Reason, Transaction},
    deadline::Deadline,
    idempotency,
    runtime::{Job, Outcome},
};
use std::time::Duration;
use tokio::time::Instant;

/// How many rows a transaction deletes, at most: few enough that others never wait for its end.
const BATCH: u32 = 1000;
/// How long before the platform ends it the job stops, so that its report is written.
const MARGIN: Duration = Duration::from_millis(500);

/// The job as every life runs it.
pub fn job(env: &Env) -> Job {
    let database = Database::from_env(env);
    let max_age = idempotency::max_age(env);
    Box::new(move |arguments, format, deadline| {
        let database = database.clone();
        Box::pin(async move {
            let report = match arguments.as_slice() {
                [] => sweep(&database, max_age, &deadline.before(MARGIN)).await,
                _ => Report::usage(),
            };
            Outcome {
                success: report.end == End::Swept,
                report: report.in_format(format),
            }
        })
    })
}

async fn sweep(database: &Database, max_age: Duration, deadline: &Deadline) -> Report {
    let start = Instant::now();
    let mut idempotency_keys = 0;
    let end = in_batches(database, deadline, &mut idempotency_keys, async |transaction| {
        idempotency::delete_expired(transaction, max_age, BATCH).await
    });
    Report {
        end: end.await,
        idempotency_keys,
        duration: start.elapsed(),
    }
}

/// Runs `delete` in one transaction after the other until it finds less than a batch. Counts what it has deleted.
async fn in_batches(
    database: &Database,
    deadline: &Deadline,
    deleted: &mut u64,
    mut delete: impl AsyncFnMut(&mut Transaction) -> sqlx::Result<u64>,
) -> End {
    loop {
        let batch = tokio::select! {
            biased;
            () = deadline.ended() => return End::Stopped,
            batch = database.transaction(deadline, &mut delete) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return End::Failed(Reason::from(&error)),
        };
        *deleted += batch;
        if batch < u64::from(BATCH) {
            return End::Swept;
        }
    }
}
