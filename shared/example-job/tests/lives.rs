//! The real binary as a command line, a Cloud Run job and a Lambda function.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::time::Duration;
use testing::{
    Binary,
    FakeRuntimeApi,
    Postgres, // if db
};

fn function() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_example-job"))
}

/// The exit code of a run, and the status that it reports.
fn run(job: &Binary, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = job.run(arguments);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {output:?}"));
    (output.status.code(), report["status"].clone())
}

// if state
#[test]
fn without_what_it_needs_it_fails() {
    assert_eq!(run(&function(), &[]), (Some(1), "failed".into()));
}

#[test]
fn an_argument_is_refused() {
    assert_eq!(run(&function(), &["all"]), (Some(1), "usage".into()));
}

#[tokio::test]
async fn every_life_does_the_work() {
    let job = function();
    let job = job.with("DATABASE_URL", Postgres::shared().migrated_database().await); // if db
    let bucket = tempfile::tempdir().unwrap(); // if storage
    let job = job.with("STORAGE_URL", format!("file://{}", bucket.path().display())); // if storage
    assert_eq!(run(&job, &[]), (Some(0), "done".into()));
    assert_eq!(
        run(&job.clone().with("CLOUD_RUN_JOB", "example-job"), &[]),
        (Some(0), "done".into())
    );
    let api = FakeRuntimeApi::start().await;
    let _lambda = job.on_lambda(&api);
    let mut posted = api.invoke(&json!({}), Duration::from_secs(10)).await;
    let report: Value = serde_json::from_slice(&posted.rest().await).unwrap();
    assert_eq!((posted.error, &report["status"]), (false, &"done".into()));
}
