//! The real binary in each of its lives, over every backend.

#![allow(clippy::unwrap_used)]

use testing::{Binary, Client, contract, matrix};

fn over(url: &str) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_health-storage")).with("STORAGE_URL", url)
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    let mut expected = matrix::common("/health/storage", 200, "application/json");
    expected.push(matrix::Expected {
        accept: "application/health+json",
        content_type: "application/health+json",
        ..expected[0].clone()
    });
    matrix::same_in_every_life(&over("memory:"), &expected).await;
}

#[tokio::test]
async fn every_life_gives_the_same_bad_answers() {
    let function = Binary::new(env!("CARGO_BIN_EXE_health-storage"));
    matrix::same_in_every_life(&function, &matrix::common("/health/storage", 503, "application/json")).await;
}

#[test]
fn as_a_job_it_reports_once_and_by_its_exit_code() {
    let job = over("memory:").run(&["check"]);
    assert_eq!(job.status.code(), Some(0));
    assert_eq!(
        matrix::normalized(&job.stdout),
        r#"{"bucket":"memory","latency_ms":null,"status":"healthy","storage":"accessible","timestamp":null}"#
    );
    let job = over("file:///nonexistent/evidence")
        .with("CLOUD_RUN_JOB", "check")
        .run(&[]);
    assert_eq!(job.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!(
        (&report["bucket"], &report["reason"]),
        (&"evidence".into(), &"bucket_not_found".into())
    );
}

#[tokio::test]
async fn a_folder_that_appears_is_accessible_and_one_that_goes_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("evidence");
    let server = over(&format!("file://{}", folder.display()))
        .with("HEALTH_CACHE", "1ms")
        .serve();
    let client = Client::http1();
    let target = format!("{}/health/storage", server.url);
    for (exists, status) in [(false, 503), (true, 200), (false, 503)] {
        if exists {
            std::fs::create_dir(&folder).unwrap();
        } else {
            let _ = std::fs::remove_dir(&folder);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        let answer = client.get(&target).await;
        assert_eq!(answer.status, status, "{}", answer.transcript());
        assert!(
            !answer.transcript().contains(parent.path().to_str().unwrap()),
            "{}",
            answer.transcript()
        );
    }
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn its_answers_are_those_of_the_api_document_with_a_bucket_and_without() {
    let health_storage = Binary::new(env!("CARGO_BIN_EXE_health-storage"));
    contract::holds_while_unhealthy(&health_storage.serve().url, &["/health", "/health/storage"]);
    let in_memory = health_storage.with("STORAGE_URL", "memory:");
    contract::holds(&in_memory.serve().url, &["/health", "/health/storage"]);
}
