//! The real binary in each of its lives.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::{Duration, Instant};
use testing::{Binary, EventShape, FakeRuntimeApi, contract, matrix};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn sse() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_sse"))
}

fn beating(interval: &str) -> Binary {
    sse().with("SSE_HEARTBEAT_INTERVAL", interval)
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    matrix::same_in_every_life(&sse(), &matrix::common("/sse/heartbeat", 200, "text/event-stream")).await;
}

#[tokio::test]
async fn on_lambda_beats_arrive_one_by_one_and_the_stream_ends_before_the_deadline() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = beating("300ms").on_lambda(&api);
    // The first invocation waits for the process to start.
    api.exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
        .await;
    let event = EventShape::FunctionUrl.event("GET", "/sse/heartbeat", &[]);
    let start = Instant::now();
    let mut posted = api.invoke(&event, Duration::from_secs(3)).await;
    assert!(posted.is_streamed());
    assert_eq!(
        posted.headers["content-type"],
        "application/vnd.awslambda.http-integration-response"
    );
    let head = posted.head().await;
    assert!(head.body.starts_with(b"retry: 2000\nid: "), "{}", head.transcript());
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "the first event took {:?}",
        start.elapsed()
    );
    let (mut arrivals, mut stream) = (vec![start], head.body.to_vec());
    while let Some((at, chunk)) = posted.chunk().await {
        arrivals.push(at);
        stream.extend_from_slice(&chunk);
    }
    let mut gaps: Vec<Duration> = arrivals.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
    // A beat that comes late is followed by a short gap.
    gaps.sort();
    assert!(
        gaps.len() >= 4 && gaps[gaps.len() / 2].as_millis() > 150,
        "not beat by beat: {gaps:?}"
    );
    let age = start.elapsed();
    assert!((1_800..2_500).contains(&age.as_millis()), "ended after {age:?}");
    assert!(stream.ends_with(b"data: ping\n\n"), "cut inside an event");
}

#[tokio::test]
async fn on_lambda_a_signal_ends_an_open_stream_between_two_events_and_then_the_process() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = beating("50ms").on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/sse/heartbeat", &[]);
    let mut posted = api.invoke(&event, Duration::from_secs(60)).await;
    posted.head().await;
    lambda.signal("TERM");
    let start = Instant::now();
    let rest = posted.rest().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(
        rest.is_empty() || rest.ends_with(b"data: ping\n\n"),
        "cut inside an event"
    );
    assert!(posted.trailers.is_none());
    while lambda.is_running() {
        assert!(start.elapsed() < Duration::from_secs(2), "still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lambda.exit_code(Duration::ZERO), Some(0));
}

#[tokio::test]
async fn the_prelude_and_its_separator_are_separate_chunks() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = sse().on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/sse/heartbeat", &[]);
    let mut posted = api.invoke(&event, Duration::from_secs(1)).await;
    let (_, prelude) = posted.chunk().await.unwrap();
    assert!(
        serde_json::from_slice::<serde_json::Value>(&prelude).is_ok(),
        "{prelude:?}"
    );
    assert_eq!(posted.chunk().await.unwrap().1, [0; 8][..]);
}

#[tokio::test]
async fn a_deadline_in_the_past_which_emulators_send_is_ignored() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = beating("100ms").with("SSE_MAX_AGE", "1s").on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/sse/heartbeat", &[]);
    let mut posted = api.invoke(&event, Duration::ZERO).await;
    let body = String::from_utf8(posted.rest().await).unwrap();
    assert!(body.matches("data: ping").count() > 3, "{body}");
}

#[tokio::test]
async fn an_environment_with_many_invocations_at_once_streams_to_all_of_them() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = beating("200ms")
        .with("AWS_LAMBDA_MAX_CONCURRENCY", "10")
        .on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/sse/heartbeat", &[]);
    let invocations = (0..10).map(|_| api.invoke(&event, Duration::from_secs(3)));
    let start = Instant::now();
    for mut posted in futures_util::future::join_all(invocations).await {
        posted.head().await;
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "one after the other: {:?}",
        start.elapsed()
    );
}

fn report(job: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&job.stdout).unwrap_or_else(|_| panic!("no report: {job:?}"))
}

#[test]
fn as_a_job_it_reads_its_own_stream_and_reports_its_times() {
    let job = beating("1s").run(&["check"]);
    let report = report(&job);
    assert_eq!(job.status.code(), Some(0), "{report}");
    assert_eq!(
        (&report["status"], &report["stream"]),
        (&"healthy".into(), &"live".into())
    );
    assert!(report["first_event_ms"].as_f64().unwrap() < 500.0, "{report}");
    assert!(report["spread_ms"].as_f64().unwrap() < 500.0, "{report}");
}

#[test]
fn as_a_job_it_reads_a_deployed_stream_and_says_why_it_cannot() {
    let server = beating("1s").serve();
    let checks = [
        (format!("{}/sse/heartbeat", server.url), 0, None),
        (format!("{}/nothing", server.url), 1, Some("not_a_stream")),
        ("http://127.0.0.1:1/sse/heartbeat".to_owned(), 1, Some("unreachable")),
        ("nonsense".to_owned(), 1, Some("unreachable")),
    ];
    for (url, code, reason) in checks {
        let job = beating("400ms")
            .with("CHECK_URL", &url)
            .with("CLOUD_RUN_JOB", "check")
            .run(&[]);
        let report = report(&job);
        assert_eq!(job.status.code(), Some(code), "{url}: {report}");
        assert_eq!(report["reason"].as_str(), reason, "{url}: {report}");
    }
}

#[tokio::test]
async fn a_url_may_name_an_ipv6_address_and_its_user_is_not_part_of_the_host() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://user:secret@[::1]:{port}/sse/heartbeat");
    let job = tokio::task::spawn_blocking(move || beating("100ms").with("CHECK_URL", url).run(&["check"]));
    let (mut client, _) = tokio::time::timeout(Duration::from_secs(5), listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut bytes = [0; 4096];
    let length = client.read(&mut bytes).await.unwrap();
    drop(client);
    let request = String::from_utf8_lossy(&bytes[..length]);
    assert!(request.contains(&format!("host: [::1]:{port}\r\n")), "{request}");
    assert!(!request.contains("secret"), "{request}");
    assert_eq!(report(&job.await.unwrap())["reason"], "unreachable");
}

/// What a proxy does to responses.
#[derive(Clone, Copy)]
struct Proxy {
    /// The number of bytes that the proxy collects before it forwards any; with `holds_head`, the head waits for them too.
    held_back: usize,
    holds_head: bool,
    /// The proxy compresses for clients that accept it.
    compresses: bool,
}

impl Proxy {
    async fn before(self, server: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse/heartbeat", listener.local_addr().unwrap());
        let server = server.trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(self.relay(client, server));
            }
        });
        url
    }

    async fn relay(self, mut client: TcpStream, mut server: TcpStream) {
        let mut bytes = [0; 4096];
        let length = client.read(&mut bytes).await.unwrap();
        server.write_all(&bytes[..length]).await.unwrap();
        let accepts = String::from_utf8_lossy(&bytes[..length]).contains("accept-encoding: gzip, deflate, br\r\n");
        let leaves_alone = self.compresses && !accepts;
        let (mut head, mut held) = (Vec::new(), Vec::new());
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        if self.compresses && accepts {
            head.splice(head.len() - 2..head.len() - 2, *b"content-encoding: gzip\r\n");
        }
        if self.holds_head {
            held = head;
        } else {
            client.write_all(&head).await.unwrap();
        }
        while let Ok(length @ 1..) = server.read(&mut bytes).await {
            held.extend_from_slice(&bytes[..length]);
            if leaves_alone || held.len() > self.held_back {
                let _ = client.write_all(&held).await;
                held.clear();
            }
        }
    }
}

/// A beat that is late by half of an interval counts as held back, which a busy machine does to a quick one.
const LIVE: &str = "1s";
/// For streams that are held back in any case.
const QUICK: &str = "100ms";

/// What a check says that is set to one interval while the server beats at another one.
async fn checked(proxy: Proxy, beat: &str, interval: &'static str) -> serde_json::Value {
    let server = beating(beat).serve();
    let url = proxy.before(&server.url).await;
    let job = tokio::task::spawn_blocking(move || beating(interval).with("CHECK_URL", url).run(&["check"]));
    let job = job.await.unwrap();
    let report = report(&job);
    assert_eq!(job.status.success(), report["status"] == "healthy", "{report}");
    report
}

#[tokio::test]
async fn a_proxy_that_buffers_shows_up_as_buffered_whatever_the_interval_of_the_check() {
    let passes = Proxy {
        held_back: 0,
        holds_head: false,
        compresses: false,
    };
    let buffers = Proxy {
        held_back: 1000,
        ..passes
    };
    let holds_all = Proxy {
        held_back: usize::MAX,
        holds_head: true,
        ..passes
    };
    for interval in ["100ms", "15s", "1ms"] {
        assert_eq!(checked(passes, LIVE, interval).await["stream"], "live", "{interval}");
        assert_eq!(
            checked(buffers, QUICK, interval).await["reason"],
            "buffered",
            "{interval}"
        );
    }
    assert_eq!(checked(holds_all, QUICK, "100ms").await["reason"], "buffered");
}

#[tokio::test]
async fn a_proxy_that_compresses_is_live_as_long_as_it_holds_nothing_back() {
    let compresses = Proxy {
        held_back: 0,
        holds_head: false,
        compresses: true,
    };
    let report = checked(compresses, LIVE, "15s").await;
    assert_eq!(
        (&report["stream"], &report["content_encoding"]),
        (&"live".into(), &"gzip".into())
    );
    let buffers = Proxy {
        held_back: 1000,
        ..compresses
    };
    let report = checked(buffers, QUICK, "15s").await;
    assert_eq!(
        (&report["reason"], &report["content_encoding"]),
        (&"buffered".into(), &"gzip".into())
    );
}

#[test]
#[ignore = "needs schemathesis; .ci/run installs it"]
fn its_answers_are_those_of_the_api_document() {
    let server = Binary::new(env!("CARGO_BIN_EXE_sse"))
        .with("SSE_MAX_AGE", "50ms")
        .with("SSE_HEARTBEAT_INTERVAL", "10ms")
        .serve();
    contract::holds(&server.url, &["/health", "/sse/heartbeat"]);
}
