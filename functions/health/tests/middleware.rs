//! The middleware on the real binary: cross-origin access, headers, ids, the log.

#![allow(clippy::unwrap_used)]

use hyper::Method;
use serde_json::Value;
use testing::{Binary, Client, EventShape, Exchange, FakeRuntimeApi, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ORIGIN: &str = "https://app.example.com";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn health() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_health"))
}

fn open_to(origins: &str) -> Process {
    health().with("CORS_ORIGINS", origins).serve()
}

async fn ask(server: &Process, method: Method, path: &str, headers: &[(&str, &str)]) -> Exchange {
    Client::http1()
        .send(method, &format!("{}{path}", server.url), headers)
        .await
}

/// The access lines of everything that was asked so far.
async fn access_lines(server: &mut Process) -> Vec<Value> {
    ask(server, Method::GET, "/nowhere", &[("x-request-id", "last")]).await;
    server.wait_for_line("\"last\"");
    let log = server.log();
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| record["target"] == "access" && record["request_id"] != "last")
        .collect()
}

#[tokio::test]
async fn without_origins_no_page_of_another_origin_may_read_anything() {
    let server = health().serve();
    for origin in [ORIGIN, "http://localhost:3000", "null"] {
        let answer = ask(&server, Method::GET, "/health", &[("origin", origin)]).await;
        assert!(
            !answer.transcript().contains("access-control"),
            "{}",
            answer.transcript()
        );
        let preflight = [("origin", origin), ("access-control-request-method", "GET")];
        let answer = ask(&server, Method::OPTIONS, "/health", &preflight).await;
        assert_eq!(answer.status, 204);
        assert!(
            !answer.transcript().contains("access-control"),
            "{}",
            answer.transcript()
        );
    }
}

#[tokio::test]
async fn an_origin_that_is_not_named_exactly_is_not_answered_to() {
    let server = open_to(ORIGIN);
    for origin in [
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "null",
    ] {
        let answer = ask(&server, Method::GET, "/health", &[("origin", origin)]).await;
        assert_eq!(answer.headers.get("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test]
async fn a_star_among_the_origins_ends_the_process_with_78() {
    for origins in ["*", "https://app.example.com,*", r#"["*"]"#] {
        let refused = health().with("CORS_ORIGINS", origins).run(&[]);
        assert_eq!(refused.status.code(), Some(78), "{origins}");
        assert!(String::from_utf8(refused.stderr).unwrap().contains("CORS_ORIGINS"));
    }
}

#[tokio::test]
async fn a_named_origin_reads_answers_with_credentials_and_errors_too() {
    let server = open_to(r#"["https://other.example.com", "https://app.example.com"]"#);
    let statuses = [("/health", 200), ("/nowhere", 404)];
    for (path, status) in statuses {
        let answer = ask(&server, Method::GET, path, &[("origin", ORIGIN)]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN);
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        let vary: Vec<&str> = answer
            .headers
            .get_all("vary")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert!(
            vary.join(",").contains("origin"),
            "a cache would mix up origins: {vary:?}"
        );
    }
    let url = format!("{}/health", server.url);
    let refused = Client::http1().put(&url, &[("origin", ORIGIN)], "body".into()).await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.headers["access-control-allow-origin"], ORIGIN);
    let readable = refused.headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["retry-after", "etag", "content-range", "content-disposition"] {
        assert!(readable.contains(name), "{readable}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_by_every_front_door() {
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "last-event-id,x-tenant"),
    ];
    let server = open_to(ORIGIN);
    let mut answers = vec![ask(&server, Method::OPTIONS, "/health", &preflight).await];
    let api = FakeRuntimeApi::start().await;
    let _lambda = health().with("CORS_ORIGINS", ORIGIN).on_lambda(&api);
    for shape in EventShape::ALL {
        answers.push(api.exchange(&shape.event("OPTIONS", "/health", &preflight)).await);
    }
    for answer in answers {
        assert_eq!(answer.status, 204);
        assert_eq!(answer.headers["allow"], "GET,HEAD,OPTIONS");
        assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN);
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(
            allowed.contains("last-event-id") && allowed.contains("x-tenant"),
            "{allowed}"
        );
        assert_eq!(answer.headers["access-control-max-age"], "7200");
    }
}

#[tokio::test]
async fn options_name_the_methods_of_a_path_and_a_path_that_does_not_exist_is_404() {
    let preflight = [("origin", ORIGIN), ("access-control-request-method", "GET")];
    for server in [health().serve(), open_to(ORIGIN)] {
        for headers in [&[][..], &preflight] {
            let answer = ask(&server, Method::OPTIONS, "/health", headers).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
            assert_eq!(answer.headers["allow"], "GET,HEAD,OPTIONS");
            assert!(answer.headers.contains_key("x-request-id"), "{}", answer.transcript());
            assert!(!answer.headers.contains_key("content-type"), "{}", answer.transcript());
            let answer = ask(&server, Method::OPTIONS, "/nowhere", headers).await;
            assert_eq!(answer.status, 404, "{}", answer.transcript());
            assert_eq!(answer.headers["content-type"], "application/problem+json");
        }
        let refused = ask(&server, Method::POST, "/health", &[]).await;
        assert_eq!(refused.headers["allow"], "GET,HEAD,OPTIONS");
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let request = b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 204") && answer.contains("allow: "),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let server = health().serve();
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/health"),
    ] {
        let answer = ask(&server, method, path, &[]).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.headers["content-security-policy"],
            "default-src 'none'; frame-ancestors 'none'"
        );
        assert_eq!(answer.headers["strict-transport-security"], "max-age=31536000");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    }
}

#[tokio::test]
async fn a_request_keeps_its_own_id_unless_it_is_not_fit_for_a_log() {
    let server = health().serve();
    let long = "x".repeat(129);
    for unfit in ["two words", "a\tb", long.as_str()] {
        let answer = ask(&server, Method::GET, "/health", &[("x-request-id", unfit)]).await;
        assert_eq!(answer.headers["x-request-id"].len(), 24, "{unfit} was taken");
    }
    let answer = ask(&server, Method::GET, "/health", &[("x-request-id", "req-1/a:b")]).await;
    assert_eq!(answer.headers["x-request-id"], "req-1/a:b");
    assert_eq!(answer.headers.get("traceresponse"), None);
}

#[tokio::test]
async fn a_trace_comes_back_and_stands_in_the_log_in_the_dialect_of_the_platform() {
    let mut plain = health().serve();
    let mut cloud = health()
        .with("K_SERVICE", "health")
        .with("GOOGLE_CLOUD_PROJECT", "shop")
        .serve();
    let xray = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";
    for (name, value) in [
        ("traceparent", TRACEPARENT),
        ("x-amzn-trace-id", xray),
        (
            "x-cloud-trace-context",
            "4bf92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1",
        ),
    ] {
        for server in [&plain, &cloud] {
            let answer = ask(server, Method::GET, "/nowhere", &[(name, value)]).await;
            assert_eq!(answer.headers["traceresponse"], TRACEPARENT, "{name}");
        }
    }
    let (plain, cloud) = (access_lines(&mut plain).await, access_lines(&mut cloud).await);
    assert_eq!((plain.len(), cloud.len()), (3, 3));
    for record in plain {
        assert_eq!(
            (&record["trace_id"], &record["span_id"]),
            (&TRACE.into(), &"00f067aa0ba902b7".into())
        );
    }
    for record in cloud {
        assert_eq!(
            record["logging.googleapis.com/trace"],
            format!("projects/shop/traces/{TRACE}")
        );
        assert_eq!(record["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
        assert_eq!(record["logging.googleapis.com/trace_sampled"], true);
        assert_eq!(record["severity"], "INFO");
    }
}

#[tokio::test]
async fn a_request_has_one_line_and_a_probe_that_is_fine_has_none_unless_asked_for() {
    let mut quiet = health().serve();
    let mut chatty = health().with("RUST_LOG", "info,access=debug").serve();
    for server in [&quiet, &chatty] {
        ask(server, Method::GET, "/health?token=secret", &[]).await;
        ask(
            server,
            Method::GET,
            "/nowhere?token=secret",
            &[("x-request-id", "mine")],
        )
        .await;
    }
    let lines = access_lines(&mut quiet).await;
    assert!(!quiet.log().contains("secret"), "a query is logged");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(
        (&line["method"], &line["route"], &line["status"]),
        (&"GET".into(), &"unmatched".into(), &404.into())
    );
    assert_eq!(line["request_id"], "mine");
    assert!(line["duration_ms"].as_f64().unwrap() < 1000.0, "{line}");
    let lines = access_lines(&mut chatty).await;
    assert_eq!(
        (lines.len(), &lines[0]["route"], &lines[0]["level"]),
        (2, &"/health".into(), &"DEBUG".into())
    );
}

#[tokio::test]
async fn on_lambda_logs_follow_the_format_and_level_of_the_function() {
    for (format, level, is_json, lines) in [
        ("JSON", "INFO", true, 1),
        ("Text", "INFO", false, 1),
        ("JSON", "ERROR", true, 0),
    ] {
        let api = FakeRuntimeApi::start().await;
        let mut lambda = health()
            .with("AWS_LAMBDA_LOG_FORMAT", format)
            .with("AWS_LAMBDA_LOG_LEVEL", level)
            .on_lambda(&api);
        let answer = api
            .exchange(&EventShape::FunctionUrl.event("GET", "/nowhere", &[("x-request-id", "mine")]))
            .await;
        assert_eq!(answer.headers["x-request-id"], "mine");
        // The next answer comes after the line of this one.
        let answer = api
            .exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
            .await;
        assert!(
            answer.headers["traceresponse"].to_str().unwrap().starts_with("00-"),
            "{}",
            answer.transcript()
        );
        lambda.signal("KILL");
        lambda.exit_code(std::time::Duration::from_secs(5));
        let log = lambda.log();
        assert_eq!(log.lines().count(), lines, "{log}");
        for line in log.lines() {
            let record = serde_json::from_str::<Value>(line);
            assert_eq!(record.is_ok(), is_json, "{line}");
            if let Ok(record) = record {
                assert_eq!(
                    (&record["level"], &record["request_id"]),
                    (&"INFO".into(), &"mine".into())
                );
                assert!(
                    record["requestId"].is_string() && record["trace_id"].is_string(),
                    "{record}"
                );
            }
        }
    }
}
