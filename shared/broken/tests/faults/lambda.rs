//! Responses that break on Lambda: what the client sees, and that the next invocation is not affected.

use serde_json::json;
use std::time::{Duration, Instant};
use testing::{Binary, EventShape, FakeRuntimeApi, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

fn function() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

/// The lines of the log at ERROR that name this request.
fn errors(lambda: &Process, request_id: &str) -> Vec<String> {
    let log = lambda.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("\"ERROR\"") && line.contains(request_id));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_buffered_body_that_breaks_is_a_500_and_one_error_in_the_log() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = function().on_lambda(&api);
    for shape in EventShape::ALL {
        for path in ["/broken", "/panics", "/too-short"] {
            let id = format!("{shape:?}{path}");
            let answer = api.exchange(&shape.event("GET", path, &[("x-request-id", &id)])).await;
            assert_eq!(answer.status, 500, "{id}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{id}");
            assert_eq!(answer.headers["x-request-id"], *id);
            assert!(!answer.transcript().contains("first"), "{}", answer.transcript());
            assert!(!answer.transcript().contains("it broke"), "{}", answer.transcript());
            assert!(lambda.wait_for_line("\"target\":\"access\"").contains("\"status\":500"));
            let errors = errors(&lambda, &id);
            assert!(
                !errors.is_empty() && (path == "/panics" || errors.len() == 1),
                "{}",
                lambda.log()
            );
        }
    }
}

#[tokio::test]
async fn a_streamed_body_that_breaks_ends_with_the_error_trailers_and_no_error_in_its_content() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = function().with("STREAMED", "1").on_lambda(&api);
    for path in ["/broken", "/panics"] {
        let id = format!("of{path}");
        let event = EventShape::FunctionUrl.event("GET", path, &[("x-request-id", &id)]);
        let mut posted = api.invoke(&event, Duration::from_secs(5)).await;
        let declared: Vec<_> = posted.headers.get_all("trailer").iter().collect();
        assert_eq!(
            declared,
            [
                "lambda-runtime-function-error-type",
                "lambda-runtime-function-error-body"
            ]
        );
        let body = posted.rest().await;
        assert!(body.ends_with(b"\0first"), "{}", String::from_utf8_lossy(&body));
        let trailers = posted.trailers.as_ref().expect("the stream was told to break");
        assert_eq!(trailers["lambda-runtime-function-error-type"], "BrokenBody");
        assert_eq!(posted.stream_error().unwrap()["errorType"], "BrokenBody");
        assert!(!posted.stream_error().unwrap().to_string().contains("it broke"));
        lambda.wait_for_line(&format!("\"route\":\"{path}\""));
        assert_eq!(errors(&lambda, &id).len(), 1, "{}", lambda.log());
    }
    let whole = api
        .exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
        .await;
    assert_eq!(
        whole.status, 200,
        "the next invocation, on a whole body without trailers"
    );
    assert_eq!(api.connections(), 1);
}

#[tokio::test]
async fn bytes_that_are_no_text_reach_the_client_buffered_and_streamed() {
    for function in [function(), function().with("STREAMED", "1")] {
        let api = FakeRuntimeApi::start().await;
        let _lambda = function.on_lambda(&api);
        for shape in EventShape::ALL {
            let answer = api.exchange(&shape.event("GET", "/binary", &[])).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body[..]),
                (200, &b"\xff\x00\xfe"[..]),
                "{shape:?}"
            );
        }
    }
}

/// A Runtime API that answers a streamed response as soon as it begins, and reads no more of it.
pub struct HastyApi(pub TcpListener);

impl HastyApi {
    /// The next request's head, on whatever connection it comes, and its connection, which stays open.
    pub async fn request(&self, kept: Option<TcpStream>) -> (String, TcpStream) {
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connection = timeout(Duration::from_secs(30), self.0.accept()).await;
                connection.expect("the function connects").unwrap().0
            }
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        (String::from_utf8(head).unwrap(), connection)
    }
}

/// Hands out an event.
async fn answer_next(mut connection: TcpStream, path: &str) -> TcpStream {
    let event = EventShape::FunctionUrl.event("GET", path, &[]).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\ncontent-length: {}\r\n\r\n",
        event.len()
    );
    connection.write_all((head + &event).as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn a_runtime_api_that_answers_early_is_asked_for_the_next_invocation_at_once() {
    for status in ["202 Accepted", "400 Bad Request", "413 Payload Too Large"] {
        early(status).await;
    }
}

async fn early(status: &str) {
    let api = HastyApi(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = api.0.local_addr().unwrap().to_string();
    let function = function().with("STREAMED", "1").with("AWS_LAMBDA_RUNTIME_API", address);
    let mut lambda = tokio::task::spawn_blocking(move || function.start_run(&[]))
        .await
        .unwrap();
    let (head, connection) = api.request(None).await;
    assert!(head.contains("/next"), "{head}");
    let connection = answer_next(connection, "/endless").await;
    let (head, mut connection) = api.request(Some(connection)).await;
    assert!(
        head.contains("/1/response") && head.contains("transfer-encoding: chunked"),
        "{head}"
    );
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.unwrap();
    let start = Instant::now();
    let (head, _next) = timeout(Duration::from_secs(2), api.request(None))
        .await
        .unwrap_or_else(|_| panic!("it asks for the next after {status}"));
    assert!(head.contains("/next"), "{head}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // The fault struck: the response had not ended, and its connection has been given up.
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(1), connection.read_to_end(&mut rest))
        .await
        .expect("it is closed");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the response had ended");
    lambda.kill().unwrap();
    lambda.wait().unwrap();
}

#[tokio::test]
async fn an_event_that_is_not_http_is_an_invocation_error_for_a_streaming_function_too() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = function().with("STREAMED", "1").on_lambda(&api);
    let mut posted = api.invoke(&json!({"Records": []}), Duration::from_secs(2)).await;
    assert!(posted.error);
    assert!(
        String::from_utf8(posted.rest().await)
            .unwrap()
            .contains("UnsupportedEvent")
    );
}

/// Lambda freezes a process that asks for the next invocation; SIGKILL stands for that.
#[tokio::test]
async fn every_record_is_written_before_the_next_invocation_is_asked_for() {
    for round in 0..20 {
        let api = HastyApi(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = api.0.local_addr().unwrap().to_string();
        let function = function().with("AWS_LAMBDA_RUNTIME_API", address);
        let mut lambda = tokio::task::spawn_blocking(move || function.start_run(&[]))
            .await
            .unwrap();
        let (_, connection) = api.request(None).await;
        let connection = answer_next(connection, "/nothing").await;
        let (head, mut posted) = api.request(Some(connection)).await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        posted.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
        posted
            .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let (head, _frozen) = api.request(Some(posted)).await;
        lambda.kill().unwrap();
        assert!(head.contains("/next"), "{head}");
        let log = tokio::task::spawn_blocking(move || lambda.wait_with_output())
            .await
            .unwrap()
            .unwrap()
            .stderr;
        let log = String::from_utf8(log).unwrap();
        assert!(log.contains("\"route\":\"unmatched\""), "round {round}: {log}");
    }
}
