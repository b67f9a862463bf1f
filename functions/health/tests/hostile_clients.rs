//! What malformed, slow and greedy clients get, from the real binary.

#![allow(clippy::unwrap_used)]

use shared::testing::{Client, Function, Server};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn health() -> Server {
    Function::new(env!("CARGO_BIN_EXE_health")).serve()
}

/// Sends raw bytes; everything the server answers until it closes the connection, and how long that took.
async fn raw(server: &Server, bytes: &[u8]) -> (String, Duration) {
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
    (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
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
    let before = server.resident_kib();
    for _ in 0..200 {
        raw(&server, greedy.as_bytes()).await;
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 1024, "200 huge heads cost {grown} KiB");
}

#[tokio::test]
async fn a_body_where_none_belongs_gets_400_a_closed_connection_and_is_not_read() {
    let server = health();
    let head = "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    let large = format!("{head}{}", "x".repeat(1 << 20));
    let small = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx";
    for request in [large.as_str(), small] {
        let (answer, _) = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer:?}");
        assert!(
            answer.contains("connection: close") && answer.contains("application/problem+json"),
            "{answer:?}"
        );
    }
    let before = server.resident_kib();
    for _ in 0..200 {
        raw(&server, large.as_bytes()).await;
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 1024, "200 bodies cost {grown} KiB");
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
