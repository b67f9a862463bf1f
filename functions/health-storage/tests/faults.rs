//! Every way in which a bucket fails a probe, on the real binary: GCS from the emulator, S3 from a real server.

#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};
use testing::{
    Binary, Client, Endless, Probed, Proxy,
    gcs::{Fault, GcsEmulator},
    loopback,
    s3::{self, S3Server},
};

fn probed(settings: &[(&str, &str)]) -> Probed {
    let binary = Binary::new(env!("CARGO_BIN_EXE_health-storage"))
        .with("HEALTH_CACHE", "1ms")
        .with_all(settings);
    Probed::start(binary, "/health/storage", ("storage", "inaccessible"))
}

fn on_gcs(bucket: &str, url: &str) -> Probed {
    probed(&[("GCS_BUCKET", bucket), ("STORAGE_EMULATOR_HOST", url)])
}

fn on_s3(bucket: &str, url: &str, secret: &str) -> Probed {
    with_key(bucket, url, s3::ACCESS_KEY, secret)
}

fn with_key(bucket: &str, url: &str, access_key: &str, secret: &str) -> Probed {
    probed(&[
        ("S3_BUCKET", bucket),
        ("AWS_ENDPOINT_URL_S3", url),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", access_key),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ])
}

/// The log comes through a pipe, maybe after the answer.
async fn logs(server: &Probed, text: &str) {
    let start = Instant::now();
    while !server.log().contains(text) {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "no {text} in {}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
        server.recovers().await;
        emulator.always(Some(fault));
        server.fails(reason).await;
        emulator.always(None);
    }
    server.recovers().await;
}

#[tokio::test]
async fn a_missing_gcs_bucket_and_a_missing_key_have_different_kinds() {
    let emulator = GcsEmulator::start("evidence").await;
    on_gcs("elsewhere", &emulator.url).fails("bucket_not_found").await;
    on_gcs("evidence", &emulator.url).recovers().await;
}

#[tokio::test]
async fn a_gcs_port_that_is_closed_or_silent_is_unreachable_or_a_timeout() {
    on_gcs("evidence", "http://127.0.0.1:1").fails("unreachable").await;
    let (_listener, url) = loopback().await;
    on_gcs("evidence", &url).fails("timeout").await;
}

#[tokio::test]
async fn gcs_credentials_that_are_no_credentials_are_misconfigured() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    write!(file, "{{\"type\": \"hostile-key\"}}").unwrap();
    for path in [path.as_str(), "/nonexistent"] {
        let settings = [("GCS_BUCKET", "evidence"), ("GOOGLE_APPLICATION_CREDENTIALS", path)];
        probed(&settings).fails("misconfigured").await;
    }
}

#[tokio::test]
async fn credentials_in_a_volume_that_hangs_are_a_timeout_and_hold_up_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let hanging = folder.path().join("credentials");
    // Opening a FIFO waits until somebody writes to it.
    assert!(Command::new("mkfifo").arg(&hanging).status().unwrap().success());
    let hanging = hanging.to_str().unwrap();
    for settings in [
        [("GCS_BUCKET", "evidence"), ("GOOGLE_APPLICATION_CREDENTIALS", hanging)],
        [("S3_BUCKET", "evidence"), ("AWS_CONFIG_FILE", hanging)],
    ] {
        let server = probed(&settings);
        let threads = || {
            std::fs::read_dir(format!("/proc/{}/task", server.pid()))
                .unwrap()
                .count()
        };
        server.fails("timeout").await;
        let waiting = threads();
        server.fails("timeout").await;
        assert_eq!(threads(), waiting, "each probe waits on a thread of its own");
        let alive = Client::http1().get(&format!("{}/health", server.url)).await;
        assert_eq!(alive.status, 200);
    }
}

#[tokio::test]
async fn s3_answers_for_a_bucket_that_is_there_missing_or_closed_to_these_credentials() {
    let running = S3Server::start("evidence").await;
    let url = &running.url;
    on_s3("evidence", url, s3::SECRET_KEY).recovers().await;
    on_s3(s3::CLOSED_BUCKET, url, s3::SECRET_KEY).fails("forbidden").await;
    on_s3("elsewhere", url, s3::SECRET_KEY).fails("bucket_not_found").await;
    on_s3("evidence", url, "hostile-secret").fails("auth_failed").await;
}

#[tokio::test]
async fn without_the_right_to_list_a_missing_sentinel_is_forbidden_and_one_that_exists_is_read() {
    let running = S3Server::start("evidence").await;
    let server = with_key("evidence", &running.url, s3::ACCESS_KEY_WITHOUT_LIST, s3::SECRET_KEY);
    server.fails("forbidden").await;
    let sentinel = running.root().join("evidence").join(shared::storage::SENTINEL_KEY);
    std::fs::create_dir_all(sentinel.parent().unwrap()).unwrap();
    std::fs::write(sentinel, "").unwrap();
    server.recovers().await;
}

#[tokio::test]
async fn an_s3_port_that_is_closed_or_silent_is_unreachable_or_a_timeout() {
    let closed = on_s3("evidence", "http://127.0.0.1:1", "hostile-secret");
    closed.fails("unreachable").await;
    let (_listener, url) = loopback().await;
    on_s3("evidence", &url, "hostile-secret").fails("timeout").await;
}

#[tokio::test]
async fn a_url_that_no_request_could_have_is_misconfigured_and_named_in_the_log() {
    for key in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        for url in [
            "127.0.0.1:9",
            "\"http://127.0.0.1:9\"",
            "http://127.0.0.1:9 hostile-key",
        ] {
            let settings = [("S3_BUCKET", "evidence"), ("AWS_REGION", "eu-west-1"), (key, url)];
            let server = probed(&settings);
            server.fails("misconfigured").await;
            logs(&server, key).await;
        }
    }
    for key in ["STORAGE_EMULATOR_HOST", "GCE_METADATA_HOST"] {
        for host in ["hostile key", "\"hostile-key\"", "hostile-key:99999"] {
            let server = probed(&[("GCS_BUCKET", "evidence"), (key, host)]);
            server.fails("misconfigured").await;
            logs(&server, key).await;
        }
    }
}

#[tokio::test]
async fn an_empty_url_is_as_good_as_none() {
    let running = S3Server::start("evidence").await;
    let server = probed(&[
        ("S3_BUCKET", "evidence"),
        ("AWS_ENDPOINT_URL_S3", ""),
        ("AWS_ENDPOINT_URL", &running.url),
        ("AWS_REGION", ""),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY),
    ]);
    server.recovers().await;
}

#[tokio::test]
async fn an_answer_that_never_ends_takes_no_memory() {
    for (status, reason) in [(403, "forbidden"), (503, "unreachable"), (404, "error")] {
        let head = format!("HTTP/1.1 {status} Bad\r\nContent-Length: 9000000000000000000\r\n");
        let endless = Endless::start(&head, "<Error><Message>hostile-key").await;
        for server in [
            on_gcs("evidence", &endless.url),
            on_s3("evidence", &endless.url, s3::SECRET_KEY),
        ] {
            let memory = server.resident_kib();
            for _ in 0..5 {
                match reason {
                    // A missing key is not a fault.
                    "error" => assert_eq!(server.probe().await.status, 200, "{}", server.log()),
                    reason => server.fails(reason).await,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(endless.taken() > 64 << 10);
            let grown = server.grown_kib(memory);
            assert!(grown < 8 << 10, "{status}: {grown} KiB");
            if status != 404 {
                logs(&server, reason).await;
            }
            assert!(server.log().lines().all(|line| line.len() < 4 << 10));
        }
    }
}

#[tokio::test]
async fn s3_without_credentials_is_auth_failed_and_a_profile_without_a_url_misconfigured() {
    let server = probed(&[
        ("S3_BUCKET", "evidence"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("HOME", "/nonexistent"),
    ]);
    server.fails("auth_failed").await;
    // The SDK reads profiles, not the settings of this process.
    let mut profile = tempfile::NamedTempFile::new().unwrap();
    writeln!(profile, "[default]\nendpoint_url = 127.0.0.1:9\nregion = eu-west-1").unwrap();
    let server = probed(&[
        ("S3_BUCKET", "evidence"),
        ("AWS_CONFIG_FILE", profile.path().to_str().unwrap()),
        ("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY),
    ]);
    server.fails("misconfigured").await;
}

#[tokio::test]
async fn a_bucket_that_nobody_named_or_named_twice_is_reported_and_the_process_lives() {
    let answer = probed(&[]).probe().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["storage"], "not_configured");
    let twice = [("GCS_BUCKET", "evidence"), ("S3_BUCKET", "evidence")];
    probed(&twice).fails("misconfigured").await;
}

#[tokio::test]
async fn ten_thousand_probes_well_and_badly_answered_leave_no_memory_and_no_socket_behind() {
    let emulator = GcsEmulator::start("evidence").await;
    let server = on_gcs("evidence", &emulator.url);
    let client = Client::http1();
    let target = server.target();
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
        server.recovers().await;
    };
    // A first storm of the same size lets the allocator reach its working set.
    storm(200).await;
    let (memory, sockets) = (server.resident_kib(), server.sockets());
    storm(200).await;
    let grown = server.grown_kib(memory);
    assert!(grown < 512, "{grown} KiB");
    // The client decides how many it keeps open.
    assert!(server.sockets() <= sockets + 200, "{} of {sockets}", server.sockets());
}

#[tokio::test]
async fn a_connection_that_the_path_forgot_while_the_process_was_frozen_costs_nothing() {
    let emulator = GcsEmulator::start("evidence").await;
    let port = emulator.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(port).await;
    let server = on_gcs("evidence", &format!("http://127.0.0.1:{}", proxy.port));
    server.recovers().await;
    proxy.forget_during_a_freeze(&server).await;
    let start = Instant::now();
    assert_eq!(server.probe().await.status, 200, "{}", server.log());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}
