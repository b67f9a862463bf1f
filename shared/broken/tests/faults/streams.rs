//! Event streams whose source, client or process fails, in every life.

use super::{
    answers::{clogged, is_whole, raw},
    lambda::HastyApi,
};
use http_body_util::BodyExt;
use hyper::{Method, body::Incoming};
use std::{
    io::Read,
    net::{Shutdown, TcpStream},
    time::{Duration, Instant, SystemTime},
};
use testing::{Binary, Client, EventShape, FakeRuntimeApi, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

fn function() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken")).with("STREAMED", "1")
}

fn streaming(heartbeat: &str, max_age: &str) -> Process {
    function()
        .with("SSE_HEARTBEAT_INTERVAL", heartbeat)
        .with("SSE_MAX_AGE", max_age)
        .serve()
}

/// The ids of whole events.
fn ids(stream: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(stream);
    let (whole, _cut) = text.rsplit_once("\n\n").unwrap_or_default();
    let ids = whole.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().unwrap()).collect()
}

/// The first `pieces` pieces of a stream, or all of it.
async fn part(mut stream: Incoming, pieces: usize) -> Vec<u8> {
    let mut part = Vec::new();
    for _ in 0..pieces {
        let Some(frame) = stream.frame().await else { break };
        part.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    part
}

#[tokio::test]
async fn a_client_that_was_cut_off_continues_after_its_last_event_without_a_gap() {
    let server = streaming("15s", "5m");
    let url = format!("{}/streams/numbers", server.url);
    for client in [Client::http1(), Client::h2c()] {
        let mut seen: Vec<u64> = Vec::new();
        for pieces in [7, 1, 40, 100, 3, usize::MAX] {
            let last = seen.last().map(u64::to_string);
            let headers: Vec<_> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
            let stream = client.open(Method::GET, &url, &headers).await.into_body();
            seen.extend(ids(&part(stream, pieces).await));
        }
        assert_eq!(seen, (1..=500).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn on_lambda_a_client_continues_after_its_last_event_too_and_no_id_is_taken_on_trust() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = function().on_lambda(&api);
    let server = streaming("15s", "5m");
    let url = format!("{}/streams/numbers", server.url);
    for (id, status) in [
        ("-1", 400),
        ("7\u{e9}", 400),
        ("490", 200),
        ("18446744073709551615", 200),
    ] {
        let event = EventShape::FunctionUrl.event("GET", "/streams/numbers", &[("last-event-id", id)]);
        let on_lambda = api.exchange(&event).await;
        let answer = Client::http1().send(Method::GET, &url, &[("last-event-id", id)]).await;
        assert_eq!(
            (on_lambda.status.as_u16(), answer.status.as_u16()),
            (status, status),
            "{id}"
        );
        let expected: Vec<u64> = if id == "490" { (491..=500).collect() } else { vec![] };
        assert_eq!(
            (ids(&on_lambda.body), ids(&answer.body)),
            (expected.clone(), expected),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_silent_stream_opens_at_once_beats_and_is_freed_when_its_client_leaves() {
    let (server, mut rare) = (streaming("300ms", "5m"), streaming("15s", "5m"));
    for client in [Client::http1(), Client::h2c()] {
        let start = Instant::now();
        let url = format!("{}/streams/silent", server.url);
        let stream = client.open(Method::GET, &url, &[]).await.into_body();
        assert_eq!(part(stream, 3).await, b"retry: 2000\n:\n:\n");
        let time = start.elapsed().as_millis();
        assert!((600..3000).contains(&time), "{time} ms for two comments");
        let url = format!("{}/streams/silent", rare.url);
        let stream = client.open(Method::GET, &url, &[]).await.into_body();
        assert_eq!(part(stream, 1).await, b"retry: 2000\n");
        let left = Instant::now();
        // The body was dropped: over HTTP/1 with its connection.
        rare.next_line("\"source\":\"silent\"").await;
        assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
    }
}

#[tokio::test]
async fn a_source_that_is_always_ready_delays_nobody_and_ends_at_its_max_age() {
    let mut server = streaming("15s", "2s");
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let mut reader = clogged(&server, "/streams/eager");
            std::thread::spawn(move || {
                let mut last = vec![0; 1 << 20];
                let (mut size, mut kept) = (0, Vec::new());
                while let Ok(length @ 1..) = reader.read(&mut last) {
                    size += length;
                    kept.extend_from_slice(&last[..length]);
                    kept.drain(..kept.len().saturating_sub(20));
                }
                (size, String::from_utf8(kept).unwrap())
            })
        })
        .collect();
    let start = Instant::now();
    let mut probes = Vec::new();
    while start.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        assert_eq!(Client::http1().get(&format!("{}/health", server.url)).await.status, 200);
        probes.push(asked.elapsed());
    }
    // A busy machine may delay one.
    probes.sort();
    let (most, slowest) = (probes[probes.len() * 9 / 10], probes[probes.len() - 1]);
    assert!(
        most < Duration::from_millis(500) && slowest < Duration::from_secs(5),
        "{most:?}, {slowest:?}"
    );
    for reader in readers {
        let (size, end) = reader.join().unwrap();
        assert!(size > 1 << 20, "{size} bytes: the source was not always ready");
        assert!(end.ends_with("x\n\n\r\n0\r\n\r\n"), "not between two events: {end:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    server.next_line("\"source\":\"eager\"").await;
}

#[tokio::test]
async fn clients_that_take_nothing_cost_one_event_each_and_are_reset_at_the_end_of_their_stream() {
    let server = streaming("15s", "3s");
    let (idle, before) = (server.sockets(), server.resident_kib());
    let start = Instant::now();
    let clients: Vec<TcpStream> = (0..50).map(|_| clogged(&server, "/streams/eager")).collect();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(server.sockets(), idle + clients.len());
    let each = server.grown_kib(before) / clients.len() as u64;
    assert!(each < 100, "{each} KiB each for events of 16 KiB");
    while server.sockets() > idle {
        assert!(
            start.elapsed() < Duration::from_secs(7),
            "streams outlive their max age"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut client in clients {
        assert!(client.read_to_end(&mut Vec::new()).is_err(), "not a reset");
    }
}

#[tokio::test]
async fn a_source_is_freed_at_its_max_age_while_its_client_takes_nothing_and_one_that_ends_itself_is_not() {
    let mut server = streaming("15s", "1s");
    let _clients = ["/streams/eager", "/streams/self-ended"].map(|path| clogged(&server, path));
    server.next_line("\"source\":\"eager\"").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let log = server.log();
    assert!(
        !log.contains("\"source\":\"self-ended\""),
        "the control is freed, too: {log}"
    );
}

#[tokio::test]
async fn a_source_that_fails_or_panics_breaks_its_stream_in_every_life_and_the_log_has_the_cause() {
    for (path, cause) in [("/streams/fails", "it broke"), ("/streams/panics", "the body panicked")] {
        let mut server = streaming("15s", "5m");
        let (answer, reset) = raw(&server, path, "1.1", "");
        assert!(answer.contains("data: first\n\n"), "{answer}");
        assert!(!is_whole(&answer, reset) && !answer.contains("broke"), "{answer}");
        let line = server.next_line("an answer broke off").await;
        assert!(
            line.contains(cause) && line.contains("\"request_id\":\"mine\""),
            "{line}"
        );
        let error = Client::h2c()
            .try_get(&format!("{}{path}", server.url))
            .await
            .expect_err(path);
        assert!(error.contains("INTERNAL_ERROR"), "{error}");
        let api = FakeRuntimeApi::start().await;
        let mut lambda = function().on_lambda(&api);
        let event = EventShape::FunctionUrl.event("GET", path, &[]);
        let mut posted = api.invoke(&event, Duration::from_secs(30)).await;
        assert!(posted.rest().await.ends_with(b"data: first\n\n"), "{path}");
        assert_eq!(posted.stream_error().unwrap()["errorType"], "BrokenBody");
        lambda.next_line(cause).await;
    }
}

#[tokio::test]
async fn a_source_that_is_over_ends_its_stream_cleanly_in_every_life() {
    let server = streaming("15s", "5m");
    let url = format!("{}/streams/over", server.url);
    let api = FakeRuntimeApi::start().await;
    let _lambda = function().on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/streams/over", &[]);
    for answer in [
        Client::http1().get(&url).await,
        Client::h2c().get(&url).await,
        api.exchange(&event).await,
    ] {
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        assert_eq!(answer.body, "retry: 2000\ndata: first\n\n");
    }
}

#[tokio::test]
async fn a_stream_ends_no_later_than_its_caller_expires_even_where_nobody_takes_anything() {
    let server = streaming("300ms", "5m");
    let url = format!("{}/streams/expires", server.url);
    for client in [Client::http1(), Client::h2c()] {
        let start = Instant::now();
        let answer = client.get(&url).await;
        // A beat may be late.
        let mut expected = (1..=3).map(|beats| "retry: 2000\n".to_owned() + &":\n".repeat(beats));
        let is_expected = expected.any(|expected| answer.body == expected);
        assert!(is_expected, "{}", answer.transcript());
        let age = start.elapsed().as_millis();
        assert!((1000..3000).contains(&age), "{age} ms");
    }
    let client = Client::h2c_without_window();
    let start = Instant::now();
    let mut stream = client.open(Method::GET, &url, &[]).await.into_body();
    let end = timeout(Duration::from_secs(5), stream.frame()).await.expect("an end");
    assert!(
        end.is_some_and(|frame| frame.is_err()),
        "the client had window after all"
    );
    let age = start.elapsed().as_millis();
    assert!((1900..5000).contains(&age), "{age} ms");
}

#[tokio::test]
async fn a_frozen_process_ends_the_streams_that_are_too_old_when_it_thaws() {
    let server = streaming("15s", "1s");
    let url = format!("{}/streams/silent", server.url);
    let mut stream = Client::http1().open(Method::GET, &url, &[]).await.into_body();
    stream.frame().await.unwrap().unwrap();
    server.signal("STOP");
    std::thread::sleep(Duration::from_secs(3));
    server.signal("CONT");
    let end = timeout(Duration::from_secs(5), stream.frame()).await;
    assert!(end.expect("an end at once").is_none(), "not a clean end");
}

#[tokio::test]
async fn a_signal_ends_every_stream_cleanly_and_drops_its_source() {
    let mut server = streaming("15s", "5m");
    let mut streams = Vec::new();
    for path in ["/streams/silent", "/streams/numbers", "/streams/eager"] {
        let url = format!("{}{path}", server.url);
        for client in [Client::http1(), Client::h2c()] {
            let mut stream = client.open(Method::GET, &url, &[]).await.into_body();
            stream.frame().await.unwrap().unwrap();
            streams.push(tokio::spawn(stream.collect()));
        }
    }
    server.signal("TERM");
    for stream in streams {
        let rest = timeout(Duration::from_secs(5), stream).await.expect("an end").unwrap();
        let rest = rest.expect("a clean end").to_bytes();
        assert!(rest.is_empty() || rest.ends_with(b"\n\n"), "cut inside an event");
    }
    assert_eq!(server.exit_code(Duration::from_secs(8)), Some(0));
    assert_eq!(
        server.log().matches("\"message\":\"dropped\"").count(),
        6,
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_function_that_does_not_stream_answers_an_error_in_place_of_an_event_stream() {
    let function = Binary::new(env!("CARGO_BIN_EXE_broken"));
    let api = FakeRuntimeApi::start().await;
    let (mut server, _lambda) = (function.serve(), function.on_lambda(&api));
    for path in ["/streams/silent", "/streams/eager", "/streams/over"] {
        let event = EventShape::FunctionUrl.event("GET", path, &[]);
        let url = format!("{}{path}", server.url);
        for answer in [
            Client::http1().get(&url).await,
            Client::h2c().get(&url).await,
            timeout(Duration::from_secs(2), api.exchange(&event))
                .await
                .expect("an answer"),
        ] {
            assert_eq!(answer.status, 500, "{path}");
            assert_eq!(answer.json()["type"], "/problems/internal", "{path}");
        }
        server.next_line("not `streamed`").await;
    }
}

/// The Runtime API takes the head of an answer and nothing more, as for a client that reads nothing.
#[tokio::test]
async fn on_lambda_a_stream_that_nobody_takes_is_given_up_before_the_platforms_deadline() {
    for path in ["/streams/eager", "/downloads/eager"] {
        let api = HastyApi(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let function = function().with("AWS_LAMBDA_RUNTIME_API", api.0.local_addr().unwrap().to_string());
        let mut lambda = tokio::task::spawn_blocking(move || function.start_run(&[]))
            .await
            .unwrap();
        let (_, mut connection) = api.request(None).await;
        let event = EventShape::FunctionUrl.event("GET", path, &[]).to_string();
        let deadline = SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(4);
        let head = format!(
            "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: {}\r\ncontent-length: {}\r\n\r\n",
            deadline.as_millis(),
            event.len()
        );
        connection.write_all((head + &event).as_bytes()).await.unwrap();
        let (head, mut connection) = api.request(Some(connection)).await;
        assert!(head.contains("/1/response"), "{head}");
        let (next, _kept) = api.request(None).await;
        assert!(next.contains("/next"), "{next}");
        let left = deadline.checked_sub(SystemTime::UNIX_EPOCH.elapsed().unwrap());
        let left = left.expect("before the deadline").as_millis();
        assert!(left < 1500, "{left} ms were left: not because of the deadline");
        // What it had written is there; the response never ends.
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest).await;
        assert!(
            rest.len() > 100_000 && !rest.ends_with(b"0\r\n\r\n"),
            "{} bytes",
            rest.len()
        );
        lambda.kill().unwrap();
        lambda.wait().unwrap();
    }
}

#[tokio::test]
async fn a_client_of_http_1_that_closes_is_noticed_while_its_source_is_silent() {
    let mut server = streaming("1h", "5m");
    let mut client = clogged(&server, "/streams/silent");
    client.read_exact(&mut [0; 100]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let left = Instant::now();
    server.next_line("\"source\":\"silent\"").await;
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
}
