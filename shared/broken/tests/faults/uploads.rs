//! Bodies of requests: the same answers in every life, and what hostile clients get.

use hyper::Method;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use testing::{
    Binary, Client, EventShape, FakeRuntimeApi,
    matrix::{self, Expected},
};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const LIMIT: usize = 64 << 10;

fn broken() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

/// The limit as a body, and one byte more.
fn whole() -> &'static [u8] {
    Box::leak(vec![0xff; LIMIT].into_boxed_slice())
}

fn too_large() -> &'static [u8] {
    Box::leak(vec![b'7'; LIMIT + 1].into_boxed_slice())
}

/// A method and a path, the media type of a body and the body, and the status and media type of the answer.
type Row = (Method, &'static str, (&'static str, &'static [u8]), u16, &'static str);

#[tokio::test]
async fn a_body_is_answered_the_same_in_every_life() {
    let text = "text/plain; charset=utf-8";
    let rows: Vec<Row> = vec![
        (Method::POST, "/greetings/1", (JSON, br#"{"name": "Ada"}"#), 200, JSON),
        (Method::POST, "/greetings/1", (JSON, br#"{"name": 7}"#), 422, PROBLEM),
        (Method::POST, "/greetings/1", (JSON, br#"["Ada", 1]"#), 422, PROBLEM),
        (Method::POST, "/greetings/1", (JSON, b"{"), 400, PROBLEM),
        (Method::POST, "/greetings/1", (JSON, b"\xff"), 400, PROBLEM),
        (Method::POST, "/greetings/1", (JSON, b""), 400, PROBLEM),
        (Method::POST, "/greetings/1", (JSON, too_large()), 413, PROBLEM),
        (Method::POST, "/greetings/1", ("text/plain", b"{}"), 415, PROBLEM),
        (
            Method::POST,
            "/greetings/one",
            (JSON, br#"{"name": "Ada"}"#),
            400,
            PROBLEM,
        ),
        (
            Method::POST,
            "/greetings/1",
            (JSON, br#"{"name": "nobody"}"#),
            409,
            PROBLEM,
        ),
        (
            Method::POST,
            "/greetings/1",
            (JSON, br#"{"name": "Ada", "times": 10}"#),
            429,
            PROBLEM,
        ),
        (Method::GET, "/greetings/1", (JSON, b"{}"), 400, PROBLEM),
        (Method::PUT, "/greetings/1", (JSON, b""), 405, PROBLEM),
        (Method::PUT, "/size", ("a/b", whole()), 200, text),
        (Method::PUT, "/size", ("a/b", too_large()), 413, PROBLEM),
        (Method::PUT, "/picture", ("image/png", b"\x89PNG"), 200, text),
        (Method::PUT, "/picture", ("image/webp", b"RIFF"), 200, text),
        (Method::PUT, "/picture", ("image/jpeg", b"\x89PNG"), 415, PROBLEM),
        (Method::PUT, "/text", ("text/plain", b"text"), 200, text),
        (Method::PUT, "/text", ("text/plain", b"\xff"), 400, PROBLEM),
        (Method::PUT, "/nowhere", ("text/plain", b"text"), 404, PROBLEM),
        (Method::PATCH, "/size", ("text/plain", b"text"), 405, PROBLEM),
        (Method::DELETE, "/health", ("text/plain", b"text"), 405, PROBLEM),
    ];
    let expected: Vec<Expected> = rows
        .into_iter()
        .map(|(method, path, body, status, content_type)| {
            Expected::new(method, path, status, content_type).sending(body.0, body.1)
        })
        .collect();
    matrix::same_in_every_life(&broken(), &expected).await;
}

#[tokio::test]
async fn bytes_come_back_from_every_life_as_they_were_sent() {
    let bytes: Vec<u8> = (0..=255).collect();
    let headers = [("content-type", "application/octet-stream")];
    let server = broken().serve();
    for client in [Client::http1(), Client::h2c()] {
        let answer = client
            .put(&format!("{}/echo", server.url), &headers, bytes.clone().into())
            .await;
        assert_eq!(answer.body, bytes);
    }
    for lambda in [broken(), broken().with("STREAMED", "1")] {
        let api = FakeRuntimeApi::start().await;
        let _lambda = lambda.on_lambda(&api);
        for shape in EventShape::ALL {
            let event = shape.event_with_body("PUT", "/echo", &headers, &bytes);
            assert_eq!(api.exchange(&event).await.body, bytes, "{shape:?}");
        }
    }
}

#[tokio::test]
async fn a_functions_errors_have_their_types_members_and_headers() {
    let server = broken().serve();
    let url = format!("{}/greetings/1", server.url);
    let post = async |body: &'static str| {
        let headers = [("content-type", JSON)];
        let client = Client::http1();
        let answer = client.exchange(Method::POST, &url, &headers, body.into()).await;
        (answer.headers.clone(), answer.json())
    };
    let (_, problem) = post(r#"{"name": "nobody"}"#).await;
    assert_eq!(
        (&problem["type"], &problem["name"]),
        (&"/problems/forbidden-name".into(), &"nobody".into())
    );
    let (headers, problem) = post(r#"{"name": "Ada", "times": 10}"#).await;
    assert_eq!(
        (&headers["retry-after"], &problem["status"]),
        (&"7".parse().unwrap(), &429.into())
    );
    let (_, problem) = post(r#"{"name": "Ada", "times": 256}"#).await;
    assert_eq!(problem["errors"][0]["pointer"], "#/times");
}

#[tokio::test]
async fn an_answer_that_lambda_would_not_take_in_one_piece_is_a_problem() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = broken().on_lambda(&api);
    let answer = api.exchange(&EventShape::FunctionUrl.event("GET", "/large", &[])).await;
    assert_eq!(answer.json()["type"], "/problems/internal");
    lambda.wait_for_line("larger than Lambda takes");
}

#[tokio::test]
async fn on_lambda_a_route_takes_no_more_than_the_platform_hands_over_and_says_so_at_the_start() {
    const WARNING: &str = "hands over less than this route takes";
    let api = FakeRuntimeApi::start().await;
    let mut lambda = broken().on_lambda(&api);
    let warning = lambda.wait_for_line(WARNING);
    assert!(
        warning.contains("\"path\":\"/video\"") && warning.contains("4500000"),
        "{warning}"
    );
    let server = broken().serve();
    for (size, on_lambda, elsewhere) in [(4_500_000, 200, 200), (4_500_001, 413, 200), ((10 << 20) + 1, 413, 413)] {
        let body = vec![b'x'; size];
        let event = EventShape::FunctionUrl.event_with_body("PUT", "/video", &[], &body);
        let answer = api.exchange(&event).await;
        assert_eq!(answer.status, on_lambda, "{size}");
        assert!(on_lambda == 200 || answer.json()["limit"] == 4_500_000);
        let url = format!("{}/video", server.url);
        let answer = Client::http1().put(&url, &[], body.into()).await;
        assert_eq!(answer.status, elsewhere, "{size}");
    }
    assert_eq!(lambda.log().matches(WARNING).count(), 1, "{}", lambda.log());
    assert!(!server.log().contains(WARNING));
}

/// What a client of HTTP/1.1 reads until the server closes or is silent for 12 s, and how long that took.
fn raw(server: &str, request: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    let start = Instant::now();
    // The server may close while the client still sends.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (String::from_utf8(answer).unwrap(), start.elapsed())
}

fn head(path: &str, more: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n\r\n")
}

#[test]
fn only_a_body_that_will_be_taken_is_continued() {
    const CONTINUE: &str = "HTTP/1.1 100";
    let server = broken().serve();
    for (path, more, status) in [
        ("/size", "content-length: 65537\r\nexpect: 100-continue", "413"),
        (
            "/picture",
            "content-length: 3\r\ncontent-type: text/plain\r\nexpect: 100-continue",
            "415",
        ),
        ("/health", "content-length: 3\r\nexpect: 100-continue", "405"),
        ("/health", "transfer-encoding: chunked\r\nexpect: 100-continue", "405"),
        ("/nowhere", "content-length: 3\r\nexpect: 100-continue", "404"),
        ("/nowhere", "transfer-encoding: chunked\r\nexpect: 100-continue", "404"),
        (
            "/size",
            "transfer-encoding: gzip, chunked\r\nexpect: 100-continue",
            "501",
        ),
    ] {
        let (answer, time) = raw(&server.url, head(path, more).as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(
            !answer.contains(CONTINUE) && answer.contains("connection: close"),
            "{path}: {answer}"
        );
        assert!(time < Duration::from_secs(3), "{path}: {time:?}");
    }
    let request = head(
        "/size",
        "content-length: 3\r\nexpect: 100-continue\r\nconnection: close",
    ) + "abc";
    let (answer, _) = raw(&server.url, request.as_bytes());
    assert!(
        answer.starts_with(CONTINUE) && answer.contains("HTTP/1.1 200"),
        "{answer}"
    );
}

/// Without the refusal, the handler would read what is left of the coding for the content.
#[test]
fn a_body_with_another_transfer_coding_than_chunked_is_not_read() {
    let server = broken().serve();
    let coded = "3\r\nabc\r\n0\r\n\r\n";
    for (codings, status) in [
        ("transfer-encoding: gzip, chunked", "501"),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", "501"),
        ("transfer-encoding: chunked, chunked", "501"),
        ("transfer-encoding: identity, chunked", "501"),
        ("transfer-encoding: gzip, chunked\r\ncontent-length: 3", "501"),
        // Without chunked at the end, nobody knows where the body ends (RFC 9112, section 6.3).
        ("transfer-encoding: gzip", "400"),
        ("transfer-encoding: chunked, gzip", "400"),
        ("transfer-encoding: Chunked\r\nconnection: close", "200"),
    ] {
        for path in ["/size", "/echo"] {
            let (answer, time) = raw(&server.url, (head(path, codings) + coded).as_bytes());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{path} {codings}: {answer}"
            );
            assert!(answer.contains("connection: close"), "{path} {codings}: {answer}");
            assert_eq!(
                answer.contains("/problems/unsupported-coding"),
                status == "501",
                "{codings}: {answer}"
            );
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path} {codings}: {answer}");
            assert!(time < Duration::from_secs(3), "{path} {codings}: {time:?}");
        }
    }
}

#[test]
fn a_body_without_a_length_gets_413_while_it_arrives() {
    let server = broken().serve();
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunks = head("/size", "transfer-encoding: chunked") + &chunk + &chunk + "1\r\nx\r\n";
    let (answer, time) = raw(&server.url, chunks.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("\"limit\":65536"),
        "{answer}"
    );
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[test]
fn a_body_whose_chunks_are_not_http_gets_400_and_a_closed_connection() {
    let server = broken().serve();
    for chunks in [
        "nonsense\r\n",
        "-1\r\nx\r\n",
        "fffffffffffffffff\r\nx",
        "1\r\nxx\r\n0\r\n\r\n",
        "1;\rx\r\nx\r\n0\r\n\r\n",
        &format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(1 << 17)),
        &format!("1\r\nx\r\n0\r\nx: {}\r\n\r\n", "x".repeat(1 << 17)),
    ] {
        for (path, media_type) in [("/size", "a/b"), ("/text", "text/plain")] {
            let more = format!("transfer-encoding: chunked\r\ncontent-type: {media_type}");
            let (answer, time) = raw(&server.url, (head(path, &more) + chunks).as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} {chunks:.40}: {answer}");
            assert!(answer.contains("/problems/malformed"), "{path} {chunks:.40}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path} {chunks:.40}: {answer}");
            assert!(time < Duration::from_secs(3), "{path} {chunks:.40}: {time:?}");
        }
    }
}

#[test]
fn a_connection_goes_on_after_an_answer_unless_a_part_of_the_body_is_unread() {
    let server = broken().serve();
    let last = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\ncontent-type: text/plain";
    for (path, more, body, answers) in [
        ("/size", "content-length: 3", "abc", 2),
        ("/size", "transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n", 2),
        ("/text", chunked, "3\r\nabc\r\n0\r\n\r\n", 2),
        ("/echo", "content-length: 3", "abc", 2),
        ("/size?not-read", "content-length: 0", "", 2),
        ("/picture", "content-length: 3", "abc", 1),
        ("/health", "content-length: 3", "abc", 1),
    ] {
        let (answer, _) = raw(&server.url, (head(path, more) + body + last).as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 ").count(), answers, "{path} {more}: {answer}");
    }
    let refused = "POST /greetings/one HTTP/1.1\r\nhost: x\r\n\r\n";
    let (answer, _) = raw(&server.url, format!("{refused}{last}").as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "a 400 without a body: {answer}");
}

#[test]
fn a_client_that_falls_silent_gets_408_whatever_the_handler_makes_of_it() {
    let server = broken().serve();
    std::thread::scope(|threads| {
        for (path, media_type) in [("/size", "a/b"), ("/text", "text/plain")] {
            let server = &server.url;
            threads.spawn(move || {
                let more = format!("content-length: 100\r\ncontent-type: {media_type}");
                let (answer, time) = raw(server, (head(path, &more) + "x").as_bytes());
                assert!(
                    answer.starts_with("HTTP/1.1 408") && answer.contains(PROBLEM),
                    "{path}: {answer}"
                );
                assert!((9..12).contains(&time.as_secs()), "{path}: {time:?}");
            });
        }
    });
}
