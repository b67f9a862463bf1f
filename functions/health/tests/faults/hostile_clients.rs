//! What malformed, slow and greedy clients get, from the real binary.

use axum::body::Body;
use futures_util::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::{HeaderMap, Method, body::Frame};
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn health() -> Process {
    Binary::new(env!("CARGO_BIN_EXE_health")).serve()
}

/// Sends raw bytes. Returns everything that the server answers until it closes the connection, and how long that took.
async fn raw(server: &Process, bytes: &[u8]) -> (String, Duration) {
    let (answer, time) = raw_bytes(server, bytes).await;
    (String::from_utf8_lossy(&answer).into_owned(), time)
}

async fn raw_bytes(server: &Process, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let start = Instant::now();
    // The server may close while the client still sends.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "the connection stays open after {:?}",
        String::from_utf8_lossy(&answer)
    );
    (answer, start.elapsed())
}

#[tokio::test]
async fn malformed_requests_get_a_4xx_and_a_closed_connection() {
    let server = health();
    for (request, status) in [
        (&b"NONSENSE\r\n\r\n"[..], "400"),
        (b"GET /health HTTP/9.9\r\n\r\n", "400"),
        (b"GET /health HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "400"),
        (b"GET /he\x01alth HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        (
            b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nxx",
            "400",
        ),
        (
            b"GET /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: nonsense\r\n\r\n",
            "400",
        ),
    ] {
        let (answer, _) = raw(&server, request).await;
        let line = answer.lines().next().unwrap_or_default().to_owned();
        assert!(line.contains(status), "{}: {line:?}", String::from_utf8_lossy(request));
    }
    assert_eq!(Client::http1().get(&format!("{}/health", server.url)).await.status, 200);
}

#[tokio::test]
async fn a_huge_head_gets_431_and_memory_stays_flat() {
    let server = health();
    let greedy = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nx-greedy: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let (answer, _) = raw(&server, greedy.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    assert_memory_stays_flat(&server, &greedy, "HTTP/1.1 431").await;
}

async fn assert_memory_stays_flat(server: &Process, request: &str, expected: &str) {
    let before = server.resident_kib();
    for _ in 0..200 {
        let (answer, _) = raw(server, request.as_bytes()).await;
        assert!(answer.starts_with(expected), "{answer:?}");
    }
    let grown = server.grown_kib(before);
    assert!(grown < 1024, "200 requests cost {grown} KiB");
}

#[tokio::test]
async fn a_body_where_none_belongs_gets_its_error_a_closed_connection_and_is_not_read() {
    let server = health();
    let head = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    let large = format!("{head}{}", "x".repeat(1 << 20));
    let small = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx";
    let endless = "DELETE /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    for (request, status) in [
        (large.as_str(), 400),
        (small, 400),
        (&large.replace("GET", "POST"), 405),
        (&large.replace("/health", "/nowhere"), 404),
        (endless, 404),
    ] {
        let (answer, time) = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer:?}");
        assert!(time < Duration::from_secs(3), "{time:?}");
        assert!(
            answer.contains("connection: close") && answer.contains("application/problem+json"),
            "{answer:?}"
        );
    }
    assert_memory_stays_flat(&server, &large, "HTTP/1.1 400").await;
}

#[tokio::test]
async fn empty_content_is_no_body_however_it_is_framed() {
    let server = health();
    for framing in [
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n0\r\nx-trailer: 1\r\n\r\n",
        "content-length: 0\r\n\r\n",
        "content-length: 0\r\nexpect: 100-continue\r\n\r\n",
    ] {
        // The second request shows that the first was read to its end, and nothing more.
        let first = format!("GET /health HTTP/1.1\r\nhost: x\r\n{framing}");
        let second = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let (answers, _) = raw(&server, format!("{first}{second}").as_bytes()).await;
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{framing:?}: {answers}");
    }
    let url = format!("{}/health", server.url);
    let empty = || Body::from_stream(stream::iter([Ok::<_, Infallible>("")]));
    let answer = Client::h2c().send_body(Method::GET, &url, empty()).await;
    assert_eq!(
        answer.status, 200,
        "HEADERS without END_STREAM, then an empty DATA frame"
    );
    let trailers = stream::iter([Ok::<_, Infallible>(Frame::trailers(HeaderMap::new()))]);
    let trailers = Body::new(StreamBody::new(trailers));
    let answer = Client::h2c().send_body(Method::GET, &url, trailers).await;
    assert_eq!(answer.status, 200, "trailers alone");
}

#[tokio::test]
async fn one_byte_of_content_is_refused_at_once_however_it_is_framed() {
    let server = health();
    for framing in [
        "transfer-encoding: chunked\r\n\r\n1\r\nx",
        "transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n1\r\nx",
        "transfer-encoding: chunked\r\nexpect: 100-Continue\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        "content-length: 1\r\n\r\n",
        "content-length: 1\r\nexpect: 100-continue\r\n\r\n",
    ] {
        let request = format!("GET /health HTTP/1.1\r\nhost: x\r\n{framing}");
        let (answer, time) = raw(&server, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"),
            "{framing:?}: {answer}"
        );
        assert!(time < Duration::from_secs(1), "{framing:?}: {time:?}");
    }
    // No end: the answer must not wait for one.
    let endless = stream::iter([Ok::<_, Infallible>("x")]).chain(stream::pending());
    let url = format!("{}/health", server.url);
    let answer = Client::h2c()
        .send_body(Method::GET, &url, Body::from_stream(endless))
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_body_that_says_nothing_gets_408_after_ten_seconds() {
    let server = health();
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let (answer, time) = raw(&server, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("problem+json"),
        "{answer:?}"
    );
    assert!((9..12).contains(&time.as_secs()), "{time:?}");
}

/// The client preface of HTTP/2 with empty settings (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The types of the frames that a server sent. Panics at bytes that are not a frame.
fn frame_types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [high, middle, low, frame_type, ..] = *bytes {
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        assert!(frame_type <= 9 && bytes.len() >= 9 + length, "not a frame: {bytes:?}");
        types.push(frame_type);
        bytes = &bytes[9 + length..];
    }
    assert!(bytes.is_empty(), "not a frame: {bytes:?}");
    types
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_closed_with_goaway_and_sees_frames_only() {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let server = health();
    // GET http://x/health, by the static table of HPACK and two literals.
    let request = b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x04\x07/health\x01\x01x";
    let after_a_request = [PREFACE, request].concat();
    let without_settings = &PREFACE[..24];
    let all = [PREFACE, without_settings, &after_a_request[..]].map(|bytes| raw_bytes(&server, bytes));
    for (answer, time) in futures_util::future::join_all(all).await {
        let types = frame_types(&answer);
        assert_eq!(types.first(), Some(&SETTINGS), "{types:?}");
        assert!(types.contains(&GOAWAY), "{types:?}");
        assert!((9..13).contains(&time.as_secs()), "{time:?}");
    }
}

/// GET http://x/health on a stream, by the static table of HPACK and two literals, and the reset of that stream.
fn request_and_reset(stream: u32) -> Vec<u8> {
    let id = stream.to_be_bytes();
    let request = [b"\0\0\x0e\x01\x05", &id[..], b"\x82\x86\x04\x07/health\x01\x01x"].concat();
    [&request, &b"\0\0\x04\x03\0"[..], &id, b"\0\0\0\x08"].concat()
}

#[tokio::test]
async fn floods_of_resets_over_http_2_are_cut_and_probes_stay_fast() {
    let server = health();
    let flood: Vec<u8> = (0..50_000).flat_map(|index| request_and_reset(2 * index + 1)).collect();
    let flood = [PREFACE, &flood].concat();
    let (client, url) = (Client::http1(), format!("{}/health", server.url));
    raw_bytes(&server, &flood).await;
    let before = server.resident_kib();
    let floods = async {
        for _ in 0..5 {
            let flooded = [(); 20].map(|()| raw_bytes(&server, &flood));
            for (_, time) in futures_util::future::join_all(flooded).await {
                assert!(time < Duration::from_secs(5), "a flood lasts {time:?}");
            }
        }
    };
    let probes = async {
        let mut times = [Duration::ZERO; 100];
        for time in &mut times {
            let start = Instant::now();
            assert_eq!(client.get(&url).await.status, 200);
            *time = start.elapsed();
        }
        times.sort();
        times
    };
    let (_, times) = futures_util::future::join(floods, probes).await;
    // A busy machine may delay a few.
    assert!(times[90] < Duration::from_millis(500), "{times:?}");
    assert!(times[99] < Duration::from_secs(5), "{times:?}");
    let grown = server.grown_kib(before);
    assert!(grown < 8 * 1024, "a hundred floods cost {grown} KiB");
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_gets_408_after_ten_seconds() {
    let server = health();
    let requests = [
        &b""[..],
        b"P",
        b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"PRI * HTTP/2.0\r\n\r\n",
    ];
    let answers = requests.map(|request| raw(&server, request));
    for (answer, time) in futures_util::future::join_all(answers).await {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer:?}");
        assert!((9..12).contains(&time.as_secs()), "{time:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word_after_ten_seconds() {
    let server = health();
    let (answer, time) = raw(&server, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.matches("HTTP/1.1").count() == 1,
        "{answer:?}"
    );
    assert!((9..12).contains(&time.as_secs()), "{time:?}");
}
