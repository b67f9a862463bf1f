//! What access lines say of a request, and what they do not: the path that a client sends may hold an id or a secret.

use hyper::Method;
use serde_json::Value;
use testing::{Binary, Client, EventShape, FakeRuntimeApi, Process};

const SECRET: &str = "s3cret";

/// Methods and paths with the secret, and the method, the route and the status of their lines.
const REQUESTS: [(&str, &str, &str, &str, u16); 8] = [
    (
        "GET",
        "/orders/1/failure?token=s3cret",
        "GET",
        "/orders/{order}/failure",
        500,
    ),
    ("GET", "/forgotten/s3cret", "GET", "/forgotten/{secret}", 200),
    ("GET", "/orders/s3cret", "GET", "/orders/{order}", 400),
    ("POST", "/forgotten/s3cret", "POST", "/forgotten/{secret}", 405),
    ("OPTIONS", "/forgotten/s3cret", "OPTIONS", "/forgotten/{secret}", 204),
    ("S3CRET", "/forgotten/s3cret", "_OTHER", "/forgotten/{secret}", 405),
    ("GET", "/s3cret", "GET", "unmatched", 404),
    ("OPTIONS", "/s3cret/", "OPTIONS", "unmatched", 404),
];

/// Spans of a function may have what they like: here, one has the secret.
fn quiet() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken")).with("RUST_LOG", "info,broken=off")
}

fn is_access(record: &Value) -> bool {
    record["target"] == "access"
}

fn records(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn assert_lines(log: &str) {
    let lines: Vec<Value> = records(log).into_iter().filter(is_access).collect();
    assert_eq!(lines.len(), REQUESTS.len(), "{log}");
    for (line, (_, _, method, route, status)) in lines.iter().zip(REQUESTS) {
        let said = (&line["method"], &line["route"], &line["status"]);
        assert_eq!(said, (&method.into(), &route.into(), &status.into()), "{line}");
        let (latency, duration) = (
            line["latency_ms"].as_f64().unwrap(),
            line["duration_ms"].as_f64().unwrap(),
        );
        assert!(0.0 < latency && latency <= duration && duration < 5000.0, "{line}");
    }
    assert!(!log.to_lowercase().contains(SECRET), "{log}");
}

async fn ask_all(server: &mut Process) {
    for (index, (method, path, ..)) in REQUESTS.into_iter().enumerate() {
        let url = format!("{}{path}", server.url);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let id = format!("number-{index}");
        Client::http1().send(method, &url, &[("x-request-id", &id)]).await;
        while !server.wait_for_line(&id).contains("access") {}
    }
}

#[tokio::test]
async fn the_path_of_a_request_is_logged_where_it_is_asked_for() {
    let mut server = quiet().with("RUST_LOG", "access=trace,shared::runtime=info").serve();
    ask_all(&mut server).await;
    let lines: Vec<Value> = records(&server.log()).into_iter().filter(is_access).collect();
    for (line, (_, path, ..)) in lines.iter().zip(REQUESTS) {
        assert_eq!(line["path"], path.split('?').next().unwrap(), "{line}");
    }
    assert!(!server.log().contains("token"), "a query is logged");
}

#[tokio::test]
async fn on_a_server_an_access_line_names_the_route_and_no_line_the_path() {
    for cors in ["", "https://app.example.com"] {
        let mut server = quiet().with("CORS_ORIGINS", cors).serve();
        ask_all(&mut server).await;
        assert_lines(&server.log());
    }
}

#[tokio::test]
async fn on_lambda_an_access_line_names_the_route_and_no_line_the_path() {
    for shape in EventShape::ALL {
        let api = FakeRuntimeApi::start().await;
        let mut lambda = quiet().on_lambda(&api);
        for (method, path, ..) in REQUESTS {
            api.exchange(&shape.event(method, path, &[])).await;
        }
        api.exchange(&shape.event("GET", "/health", &[])).await;
        lambda.signal("KILL");
        lambda.exit_code(std::time::Duration::from_secs(5));
        assert_lines(&lambda.log());
    }
}

#[tokio::test]
async fn on_lambda_a_request_that_is_not_valid_has_a_line_without_a_route() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = quiet().on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GE T", "/s3cret", &[]);
    assert_eq!(api.exchange(&event).await.status, 400);
    let line: Value = serde_json::from_str(&lambda.wait_for_line("\"access\"")).unwrap();
    assert_eq!((&line["route"], &line["status"]), (&"unmatched".into(), &400.into()));
    assert!(!lambda.log().contains(SECRET), "{}", lambda.log());
}

#[tokio::test]
async fn text_names_the_route_too() {
    let port = testing::free_port();
    let function = quiet().with("LOG_FORMAT", "text").with("PORT", port.to_string());
    let mut server = function.start("listening");
    Client::http1()
        .get(&format!("http://127.0.0.1:{port}/forgotten/s3cret"))
        .await;
    let line = server.wait_for_line(" access: ");
    assert!(
        line.contains(r#" method="GET" route="/forgotten/{secret}" status=200 "#),
        "{line}"
    );
    assert!(!server.log().contains(SECRET), "{}", server.log());
}

#[tokio::test]
async fn the_first_request_that_is_not_a_probe_is_the_cold_start() {
    let mut server = quiet().serve();
    let ask = async |path: &str| Client::http1().get(&format!("{}{path}", server.url)).await.status;
    assert_eq!(ask("/health").await, 200);
    assert_eq!(ask("/nowhere").await, 404);
    assert_eq!(ask("/levels").await, 200);
    let first: Value = serde_json::from_str(&server.wait_for_line("unmatched")).unwrap();
    let second: Value = serde_json::from_str(&server.wait_for_line("/levels")).unwrap();
    assert_eq!(
        (&first["cold_starts"], &second["cold_starts"]),
        (&1.into(), &Value::Null)
    );
    assert!((0.0..5000.0).contains(&first["init_ms"].as_f64().unwrap()), "{first}");
    assert!(second["init_ms"].is_null(), "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_the_time_to_its_head_and_the_time_to_its_end_and_counts_as_an_error_if_it_breaks() {
    let mut server = quiet().with("STREAMED", "1").serve();
    for (path, errors) in [
        ("/broken", Value::from(1)),
        ("/whole", Value::Null),
        ("/endless", Value::Null),
    ] {
        let url = format!("{}{path}", server.url);
        let client = Client::http1();
        let ask = client.try_get(&url);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), ask).await;
        let line = loop {
            let line: Value = serde_json::from_str(&server.wait_for_line(path)).unwrap();
            if is_access(&line) {
                break line;
            }
        };
        assert_eq!((&line["status"], &line["errors"]), (&200.into(), &errors), "{line}");
        if path == "/endless" {
            let (latency, duration) = (
                line["latency_ms"].as_f64().unwrap(),
                line["duration_ms"].as_f64().unwrap(),
            );
            assert!(latency < 1000.0 && duration > 1000.0, "{line}");
        }
    }
}
