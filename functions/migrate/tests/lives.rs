//! The real binary as a command line, a Cloud Run job and a Lambda function, against a real Postgres.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::time::Duration;
use testing::{Binary, FakeRuntimeApi, Postgres, execute, migrations, newest_migration, scalar};

fn migrate(url: &str) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_migrate")).with("DATABASE_URL", url)
}

fn run(function: &Binary, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let output = function.run(&arguments);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {output:?}"));
    (output.status.code(), report)
}

#[tokio::test]
async fn up_applies_records_the_run_and_finds_nothing_to_do_the_second_time() {
    let url = Postgres::shared().empty_database().await;
    let (code, report) = run(&migrate(&url), &[]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("migrated")));
    assert_eq!(
        (&report["version_before"], &report["version_after"]),
        (&json!(0), &json!(newest_migration()))
    );
    let (code, report) = run(&migrate(&url).with("CLOUD_RUN_JOB", "migrate"), &["up"]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("nothing_to_do")));
    let recorded = format!(
        "SELECT count(*) FROM migration_runs WHERE version_before = 0 AND version_after = {} AND release <> ''",
        newest_migration()
    );
    assert_eq!(scalar(&url, &recorded).await, 1);
    assert_eq!(scalar(&url, "SELECT count(*) FROM migration_runs").await, 1);
}

#[tokio::test]
async fn status_changes_nothing_and_shows_where_each_file_stands() {
    let url = Postgres::shared().empty_database().await;
    let (code, report) = run(&migrate(&url), &["status"]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("schema_behind")));
    let pending: Vec<Value> = migrations()
        .iter()
        .map(|file| json!({"version": file.version, "description": file.description, "state": "pending"}))
        .collect();
    assert_eq!(report["migrations"], json!(pending));
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await,
        0
    );
    run(&migrate(&url), &["up"]);
    let (_, report) = run(&migrate(&url), &["status"]);
    assert_eq!(report["status"], "current");
    assert_eq!(report["migrations"][0]["state"], "applied");
}

#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_refused() {
    let url = Postgres::shared().migrated_database().await;
    execute(&url, "UPDATE _sqlx_migrations SET checksum = 'x'").await;
    let (code, report) = run(&migrate(&url), &["up"]);
    assert_eq!((code, &report["reason"]), (Some(1), &json!("schema_drift")));
    let (_, report) = run(&migrate(&url), &["status"]);
    assert_eq!(report["migrations"][0]["state"], "drifted");
}

#[tokio::test]
async fn every_migration_can_be_reverted_and_applied_again() {
    let url = Postgres::shared().migrated_database().await;
    let (code, report) = run(&migrate(&url), &["down", "1000"]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("reverted")), "{report}");
    let left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'";
    assert_eq!(scalar(&url, left).await, 0);
    assert_eq!(run(&migrate(&url), &["up"]).0, Some(0));
}

#[tokio::test]
async fn a_person_reads_text_and_a_cloud_run_job_writes_json() {
    let url = Postgres::shared().empty_database().await;
    let text = |function: Binary, arguments: &[&str]| String::from_utf8(function.run(arguments).stdout).unwrap();
    let (plan, newest) = (text(migrate(&url), &["plan"]), newest_migration());
    assert!(migrations().iter().all(|file| plan.contains(&file.sql)), "{plan}");
    assert!(text(migrate(&url), &[]).starts_with(&format!("migrated from version 0 to {newest} in ")));
    assert_eq!(text(migrate(&url), &[]), "nothing to do\n");
    let applied: String = migrations()
        .iter()
        .map(|file| format!("  {:04} applied  {}\n", file.version, file.description))
        .collect();
    assert_eq!(
        text(migrate(&url), &["status"]),
        format!("current: version {newest} of {newest}\n{applied}")
    );
    assert!(text(migrate(&url), &["history"]).contains(&format!("0 to {newest} in ")));
    let job = text(migrate(&url).with("CLOUD_RUN_JOB", "migrate"), &[]);
    assert_eq!(serde_json::from_str::<Value>(&job).unwrap()["status"], "nothing_to_do");
}

#[test]
fn a_missing_database_and_an_invalid_command_exit_with_1() {
    let (code, report) = run(&migrate("postgresql://u:hostile-secret@127.0.0.1:1/d"), &["up"]);
    assert_eq!((code, &report["reason"]), (Some(1), &json!("unreachable")));
    let (code, report) = run(&migrate("postgresql://u@127.0.0.1:1/d"), &["sideways"]);
    assert_eq!((code, &report["status"]), (Some(1), &json!("failed")));
    assert!(report["usage"].as_str().unwrap().contains("stamp VERSION"), "{report}");
    let (code, report) = run(&Binary::new(env!("CARGO_BIN_EXE_migrate")), &[]);
    assert_eq!((code, &report["reason"]), (Some(1), &json!("not_configured")));
}

#[tokio::test]
async fn on_lambda_each_invocation_is_a_run() {
    let url = Postgres::shared().empty_database().await;
    let api = FakeRuntimeApi::start().await;
    let _lambda = migrate(&url).on_lambda(&api);
    let invoke = async |event: Value| {
        let mut posted = api.invoke(&event, Duration::from_secs(30)).await;
        let body: Value = serde_json::from_slice(&posted.rest().await).unwrap();
        (posted.error, body)
    };
    let (error, body) = invoke(json!({"arguments": ["status"]})).await;
    assert_eq!((error, &body["status"]), (false, &json!("schema_behind")));
    let (error, body) = invoke(json!({})).await;
    assert_eq!((error, &body["status"]), (false, &json!("migrated")));
    let (error, body) = invoke(Value::Null).await;
    assert_eq!((error, &body["status"]), (false, &json!("nothing_to_do")));
    let (error, body) = invoke(json!("nonsense")).await;
    assert_eq!((error, &body["errorType"]), (true, &json!("UnsupportedEvent")));
    execute(&url, "UPDATE _sqlx_migrations SET checksum = 'x'").await;
    let (error, body) = invoke(json!({})).await;
    assert_eq!((error, &body["errorType"]), (true, &json!("JobFailed")));
}

#[test]
fn an_argument_that_is_not_utf_8_exits_with_64() {
    let shell = ["sh", "-c", r#"exec "$0" up "$(printf '\377')""#];
    let output = migrate("postgres://127.0.0.1:1/nowhere").under(&shell).run(&[]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("not UTF-8"),
        "{output:?}"
    );
}
