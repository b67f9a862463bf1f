//! A job: does its work once, prints a report, and ends.

mod objects; // if storage
mod rows; // if db

use serde::Serialize;
use serde_json::json;
use shared::{
    config::Env,
    database::Database, // if db
    deadline::Deadline, // if db
    problem::Problem,
    runtime::{Job, Outcome},
    storage::Storage, // if storage
};
use std::time::Duration;

/// How long before the platform would end it the job ends by itself, so that its report is written.
const MARGIN: Duration = Duration::from_secs(2);

/// Declares the job. It runs once for each execution on Cloud Run, for each invocation on Lambda, and for
/// `cargo run -- job example-job`.
///
/// Platforms repeat a run that failed, and may run two at once: work that is done twice must do no harm.
pub fn job(env: &Env) -> Job {
    let database = Database::from_env(env); // if db
    let storage = Storage::from_env(env); // if storage
    Box::new(move |arguments, _, deadline| {
        let work = work(
            database.clone(), // if db
            deadline.clone(), // if db
            storage.clone(),  // if storage
        );
        Box::pin(async move {
            if !arguments.is_empty() {
                return outcome("usage", None);
            }
            match deadline.before(MARGIN).cut_off(work).await {
                Some(Ok(done)) => outcome("done", Some(done)),
                // The log has the cause.
                Some(Err(_)) => outcome("failed", None),
                None => outcome("stopped", None),
            }
        })
    })
}

/// The work of a run.
async fn work(
    database: Database, // if db
    deadline: Deadline, // if db
    storage: Storage,   // if storage
) -> Result<Done, Problem> {
    let time = database.transaction(&deadline, rows::time).await?; // if db
    objects::store(&storage, "done".to_owned()).await?; // if storage
    Ok(Done {
        time,                                   // if db
        stored: objects::size(&storage).await?, // if storage
    })
}

/// What a run has done.
#[derive(Serialize)]
struct Done {
    /// The seconds since the epoch, by the clock of the database.
    time: i64, // if db
    /// How many bytes of text are stored.
    stored: Option<u64>, // if storage
}

/// The report: one line of JSON. Only a run that is done succeeds.
fn outcome(status: &str, done: Option<Done>) -> Outcome {
    Outcome {
        success: done.is_some(),
        report: json!({"status": status, "done": done}).to_string(),
    }
}
