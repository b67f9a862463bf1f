//! The life of many streams on the real binary: ages, drains, clients that vanish, clients that do not read.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};

fn beating(interval: &str) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_sse")).with("SSE_HEARTBEAT_INTERVAL", interval)
}

fn address(server: &Process) -> SocketAddr {
    server.url.trim_start_matches("http://").parse().unwrap()
}

const REQUEST: &[u8] = b"GET /sse/heartbeat HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";

/// An open stream whose first event was read.
fn open(server: &Process) -> TcpStream {
    open_by(server, REQUEST)
}

fn open_by(server: &Process, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address(server)).unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = [0; 4096];
    let mut read = String::new();
    while !read.contains("data: ping\n\n") {
        let length = stream.read(&mut bytes).unwrap();
        assert_ne!(length, 0, "the stream ended: {read}");
        read.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    stream
}

#[tokio::test]
async fn a_stream_ends_cleanly_at_its_max_age() {
    let server = beating("100ms").with("SSE_MAX_AGE", "1s").serve();
    for client in [Client::http1(), Client::h2c()] {
        let start = Instant::now();
        let url = format!("{}/sse/heartbeat", server.url);
        let response = client.open(hyper::Method::GET, &url, &[]).await;
        let body = response.into_body().collect().await.expect("a clean end");
        let age = start.elapsed();
        assert!((780..3_000).contains(&age.as_millis()), "{age:?}");
        assert!(body.to_bytes().ends_with(b"data: ping\n\n"));
    }
}

/// A stream must not keep the read buffer of its request alive, not even through an id or a path.
#[test]
fn an_idle_stream_does_not_hold_on_to_the_buffer_of_its_request() {
    const STREAMS: u64 = 500;
    let server = beating("15s").serve();
    let request = b"GET /sse/heartbeat HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n\r\n";
    let one_more = || {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        stream.write_all(request).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream
    };
    let warm: Vec<TcpStream> = (0..100).map(|_| one_more()).collect();
    let before = server.resident_kib();
    let open: Vec<TcpStream> = (0..STREAMS).map(|_| one_more()).collect();
    let each = server.grown_kib(before) / STREAMS;
    assert!(each < 5, "{each} KiB each");
    drop((warm, open));
}

#[test]
fn a_thousand_streams_end_cleanly_within_the_drain_at_sigterm() {
    testing::raise_file_limit();
    let mut server = beating("15s").serve();
    let streams: Vec<TcpStream> = (0..1000).map(|_| open(&server)).collect();
    let start = Instant::now();
    server.signal("TERM");
    for mut stream in streams {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"0\r\n\r\n", "not a clean end of a chunked body");
    }
    assert_eq!(server.exit_code(Duration::from_secs(8)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// Bytes that the server has not read when it closes would make it a reset, which may overtake the last chunk.
#[test]
fn a_client_that_keeps_sending_gets_the_last_chunk_all_the_same() {
    let mut server = beating("15s").serve();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut reader = open(&server);
            let mut writer = reader.try_clone().unwrap();
            let writing = std::thread::spawn(move || {
                while writer.write_all(b"too much").is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(500));
                let mut rest = Vec::new();
                let end = reader.read_to_end(&mut rest);
                reader.shutdown(Shutdown::Both).unwrap();
                writing.join().unwrap();
                (String::from_utf8(rest).unwrap(), end.is_ok())
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    for client in clients {
        assert_eq!(client.join().unwrap(), ("0\r\n\r\n".to_owned(), true));
    }
    assert_eq!(server.exit_code(Duration::from_secs(8)), Some(0));
}

#[test]
fn clients_that_close_are_freed_at_once_and_not_at_the_next_heartbeat() {
    let server = beating("1h").serve();
    let idle = server.sockets();
    let old = b"GET /sse/heartbeat HTTP/1.0\r\n\r\n";
    // What comes before a close must not hide it: one byte too many, a whole request.
    for (request, more) in [
        (REQUEST, &b""[..]),
        (REQUEST, b"x"),
        (REQUEST, REQUEST),
        (old, b""),
        (old, b"x"),
    ] {
        let clients: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = open_by(&server, request);
                stream.write_all(more).unwrap();
                stream
            })
            .collect();
        assert_eq!(server.sockets(), idle + clients.len());
        std::thread::sleep(Duration::from_millis(50));
        for client in &clients {
            client.shutdown(Shutdown::Write).unwrap();
        }
        time_until_freed(&server, idle, Duration::from_secs(2));
    }
}

/// Streams over HTTP/2 whose client never gives them window.
async fn without_window(client: &Client, server: &Process, count: usize) -> Vec<Incoming> {
    let url = format!("{}/sse/heartbeat", server.url);
    let mut streams = Vec::new();
    for _ in 0..count {
        let response = client.open(hyper::Method::GET, &url, &[]).await;
        assert_eq!(response.status(), 200);
        streams.push(response.into_body());
    }
    streams
}

#[tokio::test]
async fn streams_without_window_are_reset_at_their_max_age_and_their_connection_lives_on() {
    let server = beating("15s").with("SSE_MAX_AGE", "1s").serve();
    let client = Client::h2c_without_window();
    let (start, idle) = (Instant::now(), server.sockets());
    for mut stream in without_window(&client, &server, 500).await {
        let end = tokio::time::timeout(Duration::from_secs(10), stream.frame()).await;
        let end = end.expect("a stream outlives its max age").expect("not an orderly end");
        assert!(end.is_err(), "the client had window after all: {end:?}");
    }
    assert!((1..6).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    without_window(&client, &server, 1).await;
    assert_eq!(server.sockets(), idle + 1, "their connection was closed");
}

#[tokio::test]
async fn streams_without_window_do_not_hold_up_the_drain() {
    let mut server = beating("15s").serve();
    let client = Client::h2c_without_window();
    let streams = without_window(&client, &server, 500).await;
    let start = Instant::now();
    server.signal("TERM");
    let ends = streams
        .into_iter()
        .map(|mut stream| async move { stream.frame().await });
    for end in futures_util::future::join_all(ends).await {
        assert!(
            end.is_some_and(|frame| frame.is_err()),
            "the client had window after all"
        );
    }
    assert_eq!(server.exit_code(Duration::from_secs(8)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!server.log().contains("connections cut"), "{}", server.log());
}

/// Waits until the server has no more sockets than when it was idle.
fn time_until_freed(server: &Process, idle: usize, patience: Duration) -> Duration {
    let start = Instant::now();
    while server.sockets() > idle {
        assert!(start.elapsed() < patience, "{} left", server.sockets() - idle);
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// From now on the kernel drops every packet for this socket: no acknowledgement, no reset, as after a pulled cable.
#[cfg(target_os = "linux")]
fn vanish(stream: &TcpStream) {
    const RETURN: u16 = 6;
    let drop_all = [socket2::SockFilter::new(RETURN, 0, 0, 0)];
    SockRef::from(stream).attach_filter(&drop_all).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_vanishes_without_a_word_is_freed_within_two_heartbeats() {
    let server = beating("2s").serve();
    let idle = server.sockets();
    let streams: Vec<TcpStream> = (0..50).map(|_| open(&server)).collect();
    assert_eq!(server.sockets(), idle + streams.len());
    streams.iter().for_each(vanish);
    let time = time_until_freed(&server, idle, Duration::from_secs(5));
    assert!(time < Duration::from_secs(4), "{time:?}");
}

#[test]
fn a_stream_is_never_compressed() {
    let server = beating("15s").serve();
    let mut stream = TcpStream::connect(address(&server)).unwrap();
    stream
        .write_all(b"GET /sse/heartbeat HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip, br\r\n\r\n")
        .unwrap();
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).unwrap();
    let head = String::from_utf8_lossy(&bytes[..length]).to_lowercase();
    assert!(!head.contains("content-encoding"), "{head}");
    for header in [
        "cache-control: no-cache, no-transform",
        "x-accel-buffering: no",
        "content-type: text/event-stream",
    ] {
        assert!(head.contains(header), "{header} is missing: {head}");
    }
}
