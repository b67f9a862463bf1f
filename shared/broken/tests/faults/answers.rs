//! Answers whose body breaks: no client takes one for whole, and the log names the request.

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};

/// As a function that answers in one piece, and as one that streams.
fn servers() -> [Process; 2] {
    [answers().serve(), answers().with("STREAMED", "1").serve()]
}

fn answers() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken")).with("SSE_HEARTBEAT_INTERVAL", "1s")
}

/// Everything that a client of HTTP/1 reads until the connection ends, and whether a reset ended it.
pub fn raw(server: &Process, path: &str, version: &str, more: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!("GET {path} HTTP/{version}\r\nhost: x\r\nx-request-id: mine\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let reset = end
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(end.is_ok() || reset, "{path} over HTTP/{version} does not end: {end:?}");
    (String::from_utf8(answer).unwrap(), reset)
}

/// Whether a client takes the answer for whole, by its framing (RFC 9112, section 8).
pub fn is_whole(answer: &str, reset: bool) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(
        !(head.contains("content-length") && head.contains("transfer-encoding")),
        "both lengths: {head}"
    );
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.split("content-length: ").nth(1);
    match length.map(|rest| rest.lines().next().unwrap().parse::<usize>().unwrap()) {
        Some(length) => body.len() == length,
        None => !reset,
    }
}

const BROKEN: [&str; 8] = [
    "/broken",
    "/broken-at-once",
    "/panics",
    "/too-short",
    "/empty-not",
    "/in-one-piece-not",
    "/too-long",
    "/broken-after-all",
];

/// The ERROR lines of a server about a path, once there is one.
fn error_lines(server: &mut Process, path: &str) -> Vec<Value> {
    server.wait_for_line("broke off");
    std::thread::sleep(Duration::from_millis(50));
    let log = server.log();
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| record["level"] == "ERROR" && record["route"] == path)
        .collect()
}

#[tokio::test]
async fn a_body_that_breaks_is_never_taken_for_whole_over_http_1() {
    for server in &servers() {
        for path in BROKEN {
            for version in ["1.1", "1.0"] {
                let (answer, reset) = raw(server, path, version, "");
                assert!(!is_whole(&answer, reset), "{path} over HTTP/{version}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_resets_its_stream_over_http_2() {
    for server in &servers() {
        let client = Client::h2c();
        for path in BROKEN {
            let error = client.try_get(&format!("{}{path}", server.url)).await.expect_err(path);
            assert!(error.contains("INTERNAL_ERROR"), "{path}: {error}");
        }
        assert_eq!(client.get(&format!("{}/health", server.url)).await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_breaks_has_one_error_line_which_names_its_request() {
    for path in BROKEN {
        for mut server in servers() {
            raw(&server, path, "1.1", "");
            let lines = error_lines(&mut server, path);
            assert_eq!(lines.len(), 1, "{path}: {lines:?}");
            assert_eq!(
                (&lines[0]["request_id"], &lines[0]["method"]),
                (&"mine".into(), &"GET".into())
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_keeps_its_promise_keeps_its_content_length_and_its_connection() {
    for server in &servers() {
        let (answer, _) = raw(server, "/whole", "1.1", "connection: close\r\n");
        assert!(
            is_whole(&answer, false) && answer.contains("content-length: 10"),
            "{answer}"
        );
        assert!(answer.ends_with("firstlater"), "{answer}");
        for client in [Client::http1(), Client::h2c()] {
            for path in ["/whole", "/empty", "/whole"] {
                let answer = client.get(&format!("{}{path}", server.url)).await;
                assert_eq!(answer.body.len(), if path == "/whole" { 10 } else { 0 }, "{path}");
            }
            let head = client.send(Method::HEAD, &format!("{}/whole", server.url), &[]).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        }
        assert!(!server.log().contains("broke off"), "{}", server.log());
    }
}

#[tokio::test]
async fn an_answer_that_has_no_body_by_its_status_or_method_sends_none() {
    for server in &servers() {
        for (path, status) in [("/no-content", 204), ("/not-modified", 304)] {
            let (answer, reset) = raw(server, path, "1.1", "connection: close\r\n");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.ends_with("\r\n\r\n") && !reset, "{answer}");
            assert!(!answer.contains("transfer-encoding"), "{answer}");
            let answer = Client::h2c().get(&format!("{}{path}", server.url)).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
        }
        for path in BROKEN {
            let answer = Client::h2c()
                .send(Method::HEAD, &format!("{}{path}", server.url), &[])
                .await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
        }
        assert!(!server.log().contains("broke off"), "{}", server.log());
    }
}

#[tokio::test]
async fn a_stored_file_that_rotted_or_was_cut_is_not_delivered_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let storage = shared::storage::Storage::from_env(&shared::config::Env::new({
        let url = url.clone();
        move |key| (key == "STORAGE_URL").then(|| url.clone())
    }));
    let content = "sound ".repeat(10_000);
    let put = shared::storage::Put::default();
    storage
        .put(&"file".parse().unwrap(), content.clone().into(), &put)
        .await
        .unwrap();
    let server = answers().with("STORAGE_URL", url).serve();
    let (answer, reset) = raw(&server, "/stored", "1.1", "connection: close\r\n");
    assert!(is_whole(&answer, reset) && answer.contains("sound"), "{}", answer.len());
    let file = folder.path().join("objects/file%object");
    let stored = std::fs::read(&file).unwrap();
    assert!(stored.starts_with(content.as_bytes()), "not where the content is");
    let mut rotten = stored.clone();
    rotten[500] ^= 1;
    rotten[50_000] ^= 1;
    std::fs::write(&file, &rotten).unwrap();
    let (answer, reset) = raw(&server, "/stored", "1.1", "connection: close\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 200") && !is_whole(&answer, reset),
        "{}",
        answer.len()
    );
    std::fs::write(&file, &stored[..1000]).unwrap();
    let (answer, _) = raw(&server, "/stored", "1.1", "connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
}

/// Longer than a connection may idle.
#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_a_large_answer() {
    let server = answers().serve();
    let url = format!("{}/large", server.url);
    let readers = [Client::http1(), Client::h2c()].map(|client| {
        let url = url.clone();
        async move {
            let (mut body, mut size, mut pause_at) = (client.open(Method::GET, &url, &[]).await.into_body(), 0, 0);
            while let Some(frame) = body.frame().await {
                size += frame.expect("the answer goes on").into_data().unwrap().len();
                if size > pause_at {
                    pause_at += 3 << 20;
                    tokio::time::sleep(Duration::from_millis(600)).await;
                }
            }
            size
        }
    });
    let start = Instant::now();
    for size in futures_util::future::join_all(readers).await {
        assert_eq!(size, 64 << 20);
    }
    assert!(start.elapsed() > Duration::from_secs(11), "the answers took no time");
}

/// A function with a heartbeat of a second gives up on vanished clients of its streams after half of that.
#[tokio::test]
async fn a_client_that_pauses_on_an_ordinary_answer_still_gets_all_of_it() {
    for server in &servers() {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        stream
            .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut [0; 4096]).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.len() > (64 << 20) - 4096, "{} bytes", rest.len());
    }
}

fn streaming(heartbeat: &str, max_age: &str, event: usize) -> Process {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
        .with("STREAMED", "1")
        .with("SSE_HEARTBEAT_INTERVAL", heartbeat)
        .with("SSE_MAX_AGE", max_age)
        .with("EVENT_SIZE", event.to_string())
        .serve()
}

/// A stream whose client reads nothing, and whose kernel takes little.
pub fn clogged(server: &Process, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[tokio::test]
async fn streams_that_are_not_read_are_reset_at_their_max_age_and_do_not_hold_up_the_drain() {
    // One event is more than both kernels hold.
    let (aged, mut drained) = (streaming("15s", "2s", 1 << 20), streaming("15s", "1h", 1 << 20));
    let idle = aged.sockets();
    let mut clients: Vec<TcpStream> = [&aged, &drained]
        .iter()
        .flat_map(|server| (0..5).map(|_| clogged(server, "/events")))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(aged.sockets(), idle + 5);
    let start = Instant::now();
    drained.signal("TERM");
    assert_eq!(drained.exit_code(Duration::from_secs(8)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    while aged.sockets() > idle {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "streams outlive their max age"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for client in &mut clients {
        let mut answer = Vec::new();
        let end = client.read_to_end(&mut answer);
        assert!(
            end.is_err(),
            "the client could have taken all of it: {} bytes",
            answer.len()
        );
    }
}

#[tokio::test]
async fn clients_that_read_nothing_cost_bounded_memory_and_do_not_hold_up_others() {
    // With so short a heartbeat the kernel does not give up on those that do not read.
    const EVENT: usize = 32 << 10;
    let server = streaming("1ms", "1h", EVENT);
    let clogged: Vec<TcpStream> = (0..20).map(|_| clogged(&server, "/events")).collect();
    std::thread::sleep(Duration::from_secs(1));
    let before = server.resident_kib();
    for _ in 0..20 {
        let mut first = [0; 4096];
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream.read_exact(&mut first).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    let grown = server.grown_kib(before);
    assert!(
        grown < 2048,
        "{} clients that do not read cost {grown} KiB",
        clogged.len()
    );
    // Most beats of the three seconds were left out, not buffered.
    for mut client in clogged {
        // The beats that both kernels had buffered come at once; the next beat is a much later one.
        let mut kept = vec![0; 200 * EVENT];
        client.read_exact(&mut kept).unwrap();
        let kept = String::from_utf8(kept).unwrap();
        let ids = kept
            .lines()
            .filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok());
        let gap = ids.clone().zip(ids.skip(1)).map(|(one, next)| next - one).max();
        assert!(gap > Some(1000), "every beat was kept: the longest gap is {gap:?} ms");
    }
}
