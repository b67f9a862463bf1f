//! The real binary in each of its lives, against a real Postgres.

#![allow(clippy::unwrap_used)]

use hyper::Method;
use serde_json::{Value, json};
use testing::{
    Binary, Client, Postgres,
    matrix::{self, Expected},
    tokens,
};

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

fn streams() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_streams")).with("TOKEN_ISSUERS", tokens::issuers())
}

async fn migrated() -> Binary {
    streams().with("DATABASE_URL", Postgres::shared().migrated_database().await)
}

fn token() -> String {
    tokens::token(json!({"scope": "streams:read streams:write"}))
}

/// A stream of JSON, and one that is closed.
async fn with_streams(binary: &Binary) {
    let (server, client) = (binary.serve(), Client::http1());
    let token = format!("Bearer {}", token());
    for (path, headers) in [
        ("open", &[("content-type", JSON)][..]),
        ("closed", &[("content-type", JSON), ("stream-closed", "true")]),
    ] {
        let url = format!("{}/v1/stream/{path}", server.url);
        let headers = [headers, &[("authorization", &*token)]].concat();
        let created = client
            .exchange(Method::PUT, &url, &headers, r#"[1, {"a": 2}]"#.into())
            .await;
        assert_eq!(created.status, 201, "{}", created.transcript());
    }
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    let binary = migrated().await;
    with_streams(&binary).await;
    let expected = [
        (Method::GET, "/v1/stream/none", 404, PROBLEM),
        (Method::HEAD, "/v1/stream/none", 404, PROBLEM),
        (Method::DELETE, "/v1/stream/none", 404, PROBLEM),
        (Method::GET, "/v1/stream/a/../b", 400, PROBLEM),
        (Method::GET, "/v1/stream/open?offset=x", 400, PROBLEM),
        (Method::GET, "/v1/stream/open?live=sse", 400, PROBLEM),
        (Method::GET, "/v1/stream/open?live=long-poll", 400, PROBLEM),
        (
            Method::GET,
            "/v1/stream/open?offset=9999999999999999_9999999999999999",
            400,
            PROBLEM,
        ),
        (Method::GET, "/v1/streams?live=sse", 400, PROBLEM),
        (Method::GET, "/v1/streams?live=sse&read=none@-1", 404, PROBLEM),
        (Method::GET, "/v1/stream/open", 200, JSON),
        (Method::HEAD, "/v1/stream/open", 200, JSON),
        (Method::GET, "/v1/stream/closed?offset=-1", 200, JSON),
        (Method::GET, "/v1/stream/closed?offset=now", 200, JSON),
    ];
    let sending = [
        (Method::PUT, "/v1/stream/open", "text/plain", "", 409, PROBLEM),
        (Method::POST, "/v1/stream/open", JSON, "[1", 400, PROBLEM),
        (Method::POST, "/v1/stream/open", JSON, "[]", 400, PROBLEM),
        (Method::POST, "/v1/stream/open", "text/plain", "a", 409, PROBLEM),
        (Method::POST, "/v1/stream/closed", JSON, "1", 409, PROBLEM),
    ];
    let expected = expected.map(|(method, path, status, media_type)| Expected::new(method, path, status, media_type));
    let sending = sending.map(|(method, path, sent, body, status, media_type)| {
        Expected::new(method, path, status, media_type).sending(sent, body.as_bytes())
    });
    let token = token();
    let expected = expected.into_iter().chain(sending);
    let mut expected: Vec<Expected> = expected.map(|expected| expected.bearer(&token)).collect();
    expected.push(Expected::new(Method::GET, "/v1/stream/open", 401, PROBLEM));
    matrix::same_in_every_life(&binary, &expected).await;
}

#[tokio::test]
async fn without_a_database_every_life_says_so() {
    let expected = [Expected::new(Method::GET, "/v1/stream/a", 503, PROBLEM).bearer(&token())];
    let binary = streams().with("DATABASE_URL", "postgresql://127.0.0.1:1/none");
    matrix::same_in_every_life(&binary, &expected).await;
}

#[tokio::test]
async fn as_a_job_it_lives_through_a_stream_of_its_own() {
    let url = Postgres::shared().migrated_database().await;
    let job = streams().with("DATABASE_URL", &url).run(&["check"]);
    let report: Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!(
        (&report["status"], &report["streams"]),
        (&"healthy".into(), &"live".into()),
        "{report}"
    );
    assert!(
        report["latency_ms"].as_f64().is_some_and(|latency| latency < 5000.0),
        "{report}"
    );
    assert_eq!(job.status.code(), Some(0));
    let left = testing::scalar(&url, "SELECT count(*) FROM streams.streams WHERE expires_at > now()").await;
    assert_eq!(left, 0, "it leaves no stream behind");
}

#[tokio::test]
async fn as_a_job_without_a_database_it_fails_and_says_why() {
    let job = streams().run(&["check"]);
    let report: Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!(
        (&report["streams"], &report["reason"]),
        (&"error".into(), &"not_configured".into()),
        "{report}"
    );
    assert_eq!(job.status.code(), Some(1));
}

#[tokio::test]
async fn bad_settings_are_all_named() {
    let settings = [
        ("STREAM_PAGE", "1"),
        ("STREAM_MAX_APPEND", "lots"),
        ("STREAM_LONG_POLL", "20"),
    ];
    let refused = streams().with_all(&settings).run(&[]);
    assert_eq!(refused.status.code(), Some(78));
    let message = String::from_utf8(refused.stderr).unwrap();
    for (name, _) in settings {
        assert!(message.contains(name), "{message}");
    }
}
