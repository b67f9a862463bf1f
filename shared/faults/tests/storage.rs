//! Every way in which a bucket fails a probe, on the real binary: GCS from the emulator, S3 from a real server.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use shared::testing::{
    Client, Exchange, Function, Server,
    gcs::{Fault, GcsEmulator},
    loopback,
    s3::{self, S3Server},
};
use std::{
    io::Write,
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(1);
/// What must never be seen outside, in the settings and services of every test here.
const SECRETS: [&str; 6] = [
    "127.0.0.1",
    "hostile-key",
    "hostile-secret",
    "Recognisable",
    "<Error>",
    "hostile-project",
];

fn function() -> Function {
    Function::new(env!("CARGO_BIN_EXE_faults-health-storage"))
        .with("HEALTH_TIMEOUT", "1s")
        .with("HEALTH_CACHE", "1ms")
}

fn on_gcs(bucket: &str, url: &str) -> Server {
    function()
        .with("GCS_BUCKET", bucket)
        .with("STORAGE_EMULATOR_HOST", url)
        .serve()
}

fn on_s3(bucket: &str, url: &str, secret: &str) -> Server {
    function()
        .with("S3_BUCKET", bucket)
        .with("AWS_ENDPOINT_URL_S3", url)
        .with("AWS_REGION", "eu-west-1")
        .with("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", secret)
        .serve()
}

/// Probes once; the answer must come within the deadline + 50 ms and hold no secret.
async fn probe(server: &Server) -> Exchange {
    tokio::time::sleep(Duration::from_millis(5)).await;
    let start = Instant::now();
    let answer = Client::http1().get(&format!("{}/health/storage", server.url)).await;
    assert!(
        start.elapsed() < DEADLINE + Duration::from_millis(50),
        "took {:?}",
        start.elapsed()
    );
    for secret in SECRETS {
        assert!(!answer.text().contains(secret), "{secret} in {}", answer.text());
    }
    answer
}

async fn assert_reason(server: &Server, reason: &str) {
    let answer = probe(server).await;
    let report = answer.json();
    assert_eq!(answer.status, 503, "{report}");
    assert_eq!(
        (&report["storage"], &report["reason"]),
        (&json!("inaccessible"), &json!(reason)),
        "{}",
        server.log()
    );
}

async fn assert_accessible(server: &Server) {
    let answer = probe(server).await;
    assert_eq!(answer.status, 200, "{} {}", answer.text(), server.log());
    assert_eq!(answer.json()["storage"], "accessible");
}

#[tokio::test]
async fn gcs_fails_for_each_reason_and_recovers_by_itself() {
    let emulator = GcsEmulator::start("evidence").await;
    let server = on_gcs("evidence", &emulator.url);
    for (fault, reason) in [
        (Fault::Status(401), "auth_failed"),
        (Fault::Status(403), "forbidden"),
        (Fault::Status(408), "timeout"),
        (Fault::Status(429), "error"),
        (Fault::Status(503), "unreachable"),
        (Fault::Reset, "unreachable"),
        (Fault::LostAnswer, "unreachable"),
        (Fault::Truncated, "unreachable"),
        (Fault::Silence, "timeout"),
    ] {
        assert_accessible(&server).await;
        emulator.always(Some(fault));
        assert_reason(&server, reason).await;
        emulator.always(None);
    }
    assert_accessible(&server).await;
}

#[tokio::test]
async fn a_missing_gcs_bucket_is_told_from_a_missing_key() {
    let emulator = GcsEmulator::start("evidence").await;
    assert_reason(&on_gcs("elsewhere", &emulator.url), "bucket_not_found").await;
    assert_accessible(&on_gcs("evidence", &emulator.url)).await;
}

#[tokio::test]
async fn a_gcs_port_that_is_closed_or_silent_is_unreachable_or_a_timeout() {
    assert_reason(&on_gcs("evidence", "http://127.0.0.1:1"), "unreachable").await;
    let (_listener, url) = loopback().await;
    assert_reason(&on_gcs("evidence", &url), "timeout").await;
}

#[tokio::test]
async fn gcs_credentials_that_are_no_credentials_are_misconfigured() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let credentials = || {
        function()
            .with("GCS_BUCKET", "evidence")
            .with("GOOGLE_APPLICATION_CREDENTIALS", &path)
    };
    write!(file, "{{\"type\": \"hostile-key\"}}").unwrap();
    assert_reason(&credentials().serve(), "misconfigured").await;
    assert_reason(
        &function()
            .with("GCS_BUCKET", "evidence")
            .with("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent")
            .serve(),
        "misconfigured",
    )
    .await;
}

#[tokio::test]
async fn s3_answers_for_a_bucket_that_is_there_missing_or_closed_to_these_credentials() {
    let running = S3Server::start("evidence").await;
    let url = &running.url;
    assert_accessible(&on_s3("evidence", url, s3::SECRET_KEY)).await;
    assert_reason(&on_s3(s3::CLOSED_BUCKET, url, s3::SECRET_KEY), "forbidden").await;
    assert_reason(&on_s3("elsewhere", url, s3::SECRET_KEY), "bucket_not_found").await;
    assert_reason(&on_s3("evidence", url, "hostile-secret"), "auth_failed").await;
}

#[tokio::test]
async fn an_s3_port_that_is_closed_or_silent_is_unreachable_or_a_timeout() {
    assert_reason(
        &on_s3("evidence", "http://127.0.0.1:1", "hostile-secret"),
        "unreachable",
    )
    .await;
    let (_listener, url) = loopback().await;
    assert_reason(&on_s3("evidence", &url, "hostile-secret"), "timeout").await;
}

#[tokio::test]
async fn s3_without_credentials_is_auth_failed() {
    let server = function()
        .with("S3_BUCKET", "evidence")
        .with("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        .with("AWS_REGION", "eu-west-1")
        .with("AWS_EC2_METADATA_DISABLED", "true")
        .with("HOME", "/nonexistent")
        .serve();
    assert_reason(&server, "auth_failed").await;
}

#[tokio::test]
async fn a_bucket_that_nobody_named_or_named_twice_is_reported_and_the_process_lives() {
    let answer = probe(&function().serve()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["storage"], "not_configured");
    let twice = function()
        .with("GCS_BUCKET", "evidence")
        .with("S3_BUCKET", "evidence")
        .serve();
    assert_reason(&twice, "misconfigured").await;
}

#[tokio::test]
async fn ten_thousand_probes_well_and_badly_answered_leave_no_memory_and_no_socket_behind() {
    let emulator = GcsEmulator::start("evidence").await;
    let server = on_gcs("evidence", &emulator.url);
    let client = Client::http1();
    let target = format!("{}/health/storage", server.url);
    let faults = [
        None,
        Some(Fault::Status(503)),
        Some(Fault::Reset),
        Some(Fault::Truncated),
    ];
    let storm = async |rounds: usize| {
        for round in 0..rounds {
            emulator.always(faults[round % faults.len()]);
            futures_util::future::join_all((0..50).map(|_| client.get(&target))).await;
        }
        emulator.always(None);
        assert_accessible(&server).await;
    };
    storm(40).await;
    let (memory, sockets) = (server.resident_kib(), server.sockets());
    storm(200).await;
    let grown = server.resident_kib().saturating_sub(memory);
    assert!(grown < 512, "{grown} KiB");
    assert!(server.sockets() <= sockets + 1, "{} of {sockets}", server.sockets());
}
