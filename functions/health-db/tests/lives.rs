//! The real binary in each of its lives, against a real Postgres.

#![allow(clippy::unwrap_used)]

use std::time::Duration;
use testing::{Binary, Client, Postgres, contract, matrix, newest_migration};

async fn healthy() -> Binary {
    let url = Postgres::shared().migrated_database().await;
    Binary::new(env!("CARGO_BIN_EXE_health-db")).with("DATABASE_URL", url)
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    let mut expected = matrix::common("/health/db", 200, "application/json");
    expected.push(matrix::Expected {
        accept: "application/health+json",
        content_type: "application/health+json",
        ..expected[0].clone()
    });
    matrix::same_in_every_life(&healthy().await, &expected).await;
}

#[tokio::test]
async fn every_life_gives_the_same_bad_answers() {
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db"));
    matrix::same_in_every_life(&function, &matrix::common("/health/db", 503, "application/json")).await;
}

#[tokio::test]
async fn as_a_job_it_reports_once_and_by_its_exit_code() {
    let job = healthy().await.run(&["check"]);
    assert_eq!(job.status.code(), Some(0));
    let newest = newest_migration();
    assert_eq!(
        matrix::normalized(&job.stdout),
        format!(
            r#"{{"database":"connected","latency_ms":null,"schema":{{"current":{newest},"expected":{newest}}},"status":"healthy","timestamp":null}}"#
        )
    );
    let job = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("CLOUD_RUN_JOB", "check")
        .run(&[]);
    assert_eq!(job.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!(report["reason"], "not_configured");
}

#[tokio::test]
async fn all_bad_durations_are_named_and_a_bad_url_is_not_among_them() {
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db")).with("DATABASE_URL", "nonsense");
    let refused = function
        .clone()
        .with("HEALTH_TIMEOUT", "2")
        .with("HEALTH_CACHE", "soon")
        .run(&[]);
    assert_eq!(refused.status.code(), Some(78));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("HEALTH_TIMEOUT") && message.contains("HEALTH_CACHE"),
        "{message}"
    );
    let server = function.serve();
    let answer = Client::http1().get(&format!("{}/health/db", server.url)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["reason"]),
        (503, &"misconfigured".into())
    );
}

#[tokio::test]
async fn nothing_connects_before_the_first_probe() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let server = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", &url)
        .serve();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'health-db'";
    assert_eq!(testing::scalar(&url, connections).await, 0);
    Client::http1().get(&format!("{}/health/db", server.url)).await;
    assert_eq!(testing::scalar(&url, connections).await, 1);
}

#[tokio::test]
#[ignore = "needs schemathesis; .ci/run installs it"]
async fn its_answers_are_those_of_the_api_document_with_a_database_and_without() {
    let health_db = Binary::new(env!("CARGO_BIN_EXE_health-db"));
    contract::holds_while_unhealthy(&health_db.serve().url, &["/health", "/health/db"]);
    let url = Postgres::shared().migrated_database().await;
    contract::holds(
        &health_db.with("DATABASE_URL", url).serve().url,
        &["/health", "/health/db"],
    );
}
