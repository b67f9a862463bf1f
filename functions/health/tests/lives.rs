//! The real binary in each of its lives.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use std::time::{Duration, Instant};
use testing::{Binary, EventShape, FakeRuntimeApi, contract, matrix};

fn health() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_health"))
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    let mut expected = matrix::common("/health", 200, "application/json");
    expected.push(matrix::Expected {
        accept: "application/health+json",
        content_type: "application/health+json",
        ..expected[0].clone()
    });
    matrix::same_in_every_life(&health(), &expected).await;
}

#[test]
fn as_a_job_it_prints_its_report_as_one_line_and_ends_with_0() {
    let jobs = [
        health().run(&["check"]),
        health().with("CLOUD_RUN_JOB", "check").run(&[]),
    ];
    for job in jobs {
        assert_eq!(job.status.code(), Some(0));
        let report = String::from_utf8(job.stdout).unwrap();
        assert_eq!(report.lines().count(), 1, "{report}");
        assert_eq!(
            matrix::normalized(report.as_bytes()),
            r#"{"status":"healthy","timestamp":null}"#
        );
    }
}

#[test]
fn invalid_settings_exit_with_78_and_all_of_them_are_named() {
    let refused = health()
        .with("PORT", "eighty")
        .with("LOG_FORMAT", "xml")
        .with("RUST_LOG", "info;debug")
        .run(&[]);
    assert_eq!(refused.status.code(), Some(78));
    let message = String::from_utf8(refused.stderr).unwrap();
    for key in ["PORT", "LOG_FORMAT", "RUST_LOG"] {
        assert!(message.contains(key), "{key} is not named: {message}");
    }
    assert!(!message.contains("eighty"), "a value is repeated: {message}");
}

#[test]
fn a_port_in_use_ends_it_with_a_log_line_and_no_panic() {
    let server = health().serve();
    let refused = health().with("PORT", server.port().to_string()).run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("cannot listen") && !message.contains("panicked"),
        "{message}"
    );
}

#[tokio::test]
async fn an_unknown_event_is_a_clear_invocation_error_and_the_next_one_is_served() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = health().on_lambda(&api);
    for event in [
        json!({"Records": [{"eventSource": "aws:sqs"}]}),
        json!(null),
        json!([1, 2]),
        json!("text"),
    ] {
        let mut posted = api.invoke(&event, Duration::from_secs(2)).await;
        assert!(posted.error, "{event} was served");
        let failure: serde_json::Value = serde_json::from_slice(&posted.rest().await).unwrap();
        assert_eq!(failure["errorType"], "UnsupportedEvent");
        for shape in ["Function URLs", "v1", "v2", "Load Balancers"] {
            assert!(failure["errorMessage"].as_str().unwrap().contains(shape), "{failure}");
        }
    }
    let answer = api
        .exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn on_lambda_whatever_a_client_sends_is_answered() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = health().on_lambda(&api);
    let long = format!("/{}", "a".repeat(70_000));
    let long_query = format!("/health?{}", "a=1&".repeat(2_000));
    for shape in EventShape::ALL {
        for (method, target, headers, status) in [
            ("GET", "/a b", ("accept", "*/*"), 404),
            ("GET", "/\0", ("accept", "*/*"), 404),
            (
                "GET",
                "no slash",
                ("accept", "*/*"),
                if shape == EventShape::HttpApi { 404 } else { 400 },
            ),
            ("GET", "/%", ("accept", "*/*"), 404),
            ("GET", "//host/health", ("accept", "*/*"), 404),
            ("GET", "/\u{1f525}", ("accept", "*/*"), 404),
            ("GET", &long, ("accept", "*/*"), 400),
            ("GET", &long_query, ("accept", "*/*"), 200),
            ("GET", "/health?a=%22%3C%3E", ("accept", "*/*"), 200),
            ("GET", "/health", ("host", "a^b"), 200),
            ("GET", "/health", ("host", "x:99999"), 200),
            ("GET", "/health", ("host", "[::1"), 200),
            ("GET", "/health", ("host", ""), 200),
            ("GET", "/health", ("x-forwarded-proto", "https,http"), 200),
            ("GET", "/health", ("x-forwarded-proto", "\u{1f525}"), 200),
            ("GET", "/health", ("x\n", "1"), 400),
            ("GET", "/health", ("x", "1\r\n2"), 400),
            ("", "/health", ("accept", "*/*"), 400),
            ("G T", "/health", ("accept", "*/*"), 400),
            ("PROPFIND", "/health", ("accept", "*/*"), 405),
        ] {
            let mut event = shape.event(method, target, &[headers]);
            let answer = api.exchange(&event).await;
            assert_eq!(answer.status, status, "{method} {target:.30} {headers:?} as {shape:?}");
            assert_eq!(
                answer.status.is_success(),
                answer.headers["content-type"] == "application/json"
            );
            event["body"] = json!("?");
            event["isBase64Encoded"] = json!(true);
            let broken = api.exchange(&event).await;
            assert_eq!(broken.status, 400, "{}", broken.transcript());
            assert_eq!(broken.headers["content-type"], "application/problem+json");
            assert!(broken.headers.contains_key("x-request-id"));
        }
    }
    for query in ["a=\"", "<", ">", "a=\u{0}", "a b"] {
        let mut event = EventShape::FunctionUrl.event("GET", "/health", &[("x-request-id", "mine")]);
        event["rawQueryString"] = json!(query);
        let answer = api.exchange(&event).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["x-request-id"]),
            (400, &"mine".parse().unwrap())
        );
        let mut event = EventShape::RestApi.event("GET", "/health", &[]);
        event["queryStringParameters"] = json!({query: query});
        assert_eq!(api.exchange(&event).await.status, 200, "{query}");
    }
    for shape in EventShape::ALL {
        let event = shape.event("GET", "/health", &[("x-odd", "odd")]).to_string();
        for odd in [
            "1",
            "null",
            "true",
            "{}",
            r#"["\ud800"]"#,
            r#""\ud800""#,
            r#""a\udc00""#,
        ] {
            let event = event.replace(r#""odd""#, odd);
            let posted = api.invoke_text(event.clone(), Duration::from_secs(2)).await;
            assert!(!posted.error, "{event}");
            assert_eq!(posted.exchange().await.status, 400, "{event}");
        }
    }
    assert!(lambda.is_running());
    assert!(!lambda.log().contains("panicked"), "{}", lambda.log());
}

#[tokio::test]
async fn settings_that_keep_it_from_starting_are_reported_to_lambda_by_their_names() {
    let api = FakeRuntimeApi::start().await;
    let mut refused = health()
        .with("AWS_LAMBDA_MAX_CONCURRENCY", "hunter2")
        .with("LOG_FORMAT", "hunter2")
        .on_lambda(&api);
    let start = Instant::now();
    while refused.is_running() {
        assert!(start.elapsed() < Duration::from_secs(5), "still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(refused.exit_code(Duration::ZERO), Some(78));
    let reported = api.init_errors();
    assert_eq!(reported.len(), 1, "{reported:?}");
    let message = reported[0]["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("AWS_LAMBDA_MAX_CONCURRENCY") && message.contains("LOG_FORMAT"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(api.polls(), 0);
}

#[test]
fn a_runtime_api_that_takes_no_report_does_not_keep_it_from_ending() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in ["127.0.0.1:1".to_owned(), silent.local_addr().unwrap().to_string()] {
        let refused = health()
            .with("PORT", "x")
            .with("AWS_LAMBDA_RUNTIME_API", address)
            .run(&[]);
        assert_eq!(refused.status.code(), Some(78));
    }
}

#[tokio::test]
async fn on_lambda_sigterm_ends_it_with_0_after_the_answer_that_was_begun() {
    for name in ["TERM", "INT"] {
        let api = FakeRuntimeApi::start().await;
        let mut lambda = health().on_lambda(&api);
        assert_eq!(
            api.exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
                .await
                .status,
            200
        );
        lambda.signal(name);
        assert_eq!(lambda.exit_code(Duration::from_secs(2)), Some(0));
    }
}

#[tokio::test]
async fn it_answers_in_one_piece_as_its_invoke_mode_says() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = health().on_lambda(&api);
    let posted = api
        .invoke(
            &EventShape::FunctionUrl.event("GET", "/health", &[]),
            Duration::from_secs(2),
        )
        .await;
    assert!(!posted.is_streamed());
    assert!(posted.headers.contains_key("content-length"));
}

#[tokio::test]
async fn it_asks_for_as_many_invocations_at_once_as_the_environment_allows() {
    for (allowed, expected) in [(None, 1), (Some("1"), 1), (Some("8"), 8)] {
        let api = FakeRuntimeApi::start().await;
        let function = match allowed {
            Some(allowed) => health().with("AWS_LAMBDA_MAX_CONCURRENCY", allowed),
            None => health(),
        };
        let _lambda = function.on_lambda(&api);
        while api.polls() < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(api.polls(), expected);
    }
}

#[tokio::test]
async fn it_keeps_one_connection_to_the_runtime_api() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = health().on_lambda(&api);
    for _ in 0..20 {
        api.exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
            .await;
    }
    assert_eq!(api.connections(), 1);
}

#[test]
fn an_unknown_argument_exits_with_64() {
    let not_utf_8 = health().under(&["sh", "-c", r#"exec "$0" "$(printf '\377')""#]);
    for refused in [health().run(&["--help"]), not_utf_8.run(&[])] {
        assert_eq!(refused.status.code(), Some(64));
        assert!(String::from_utf8(refused.stderr).unwrap().contains("`check`"));
    }
}

#[test]
fn it_ends_when_the_runtime_api_is_gone_instead_of_polling_in_a_loop() {
    let mut lambda = health()
        .with("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
        .start("Runtime API failed");
    assert_eq!(lambda.exit_code(Duration::from_secs(5)), Some(1));
}

#[test]
fn sigterm_and_sigint_exit_with_0() {
    for name in ["TERM", "INT"] {
        let mut server = health().serve();
        server.signal(name);
        assert_eq!(server.exit_code(Duration::from_secs(2)), Some(0));
    }
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn its_answers_are_those_of_the_api_document() {
    let server = health().serve();
    contract::holds(&server.url, &["/health"]);
}
