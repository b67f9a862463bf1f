//! Faults of the log: a reader that stops, forged lines, panics, the last records of a process.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::Child,
    sync::mpsc,
    time::{Duration, Instant},
};
use testing::{Binary, Client, EventShape, FakeRuntimeApi, exit_code, free_port, signal, wait_for_port};

/// One line each.
const REQUESTS: usize = 6000;

fn broken() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

/// A server whose standard error is a pipe that nobody reads, and its URL.
fn unread(function: Binary) -> (Child, String) {
    let port = free_port();
    let server = function.with("PORT", port.to_string()).start_run(&[]);
    wait_for_port(port);
    (server, format!("http://127.0.0.1:{port}"))
}

async fn ask(url: &str, times: usize) {
    let client = Client::http1();
    for _ in 0..times {
        let start = Instant::now();
        assert_eq!(client.get(&format!("{url}/nothing")).await.status, 404);
        assert!(start.elapsed() < Duration::from_secs(2), "an answer waited for the log");
    }
}

/// The lines of standard error from now on, until none comes for a moment.
fn read_on(server: &mut Child) -> Vec<Value> {
    let (sender, lines) = mpsc::channel();
    let log = BufReader::new(server.stderr.take().unwrap());
    std::thread::spawn(move || {
        log.lines()
            .map_while(Result::ok)
            .for_each(|line| drop(sender.send(line)))
    });
    let mut read = Vec::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) {
        read.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a record: {line}")));
    }
    read
}

fn answered(records: &[Value]) -> usize {
    records.iter().filter(|record| record["target"] == "access").count()
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_answer_and_no_end() {
    let (mut server, url) = unread(broken());
    ask(&url, REQUESTS).await;
    assert_eq!(Client::http1().get(&format!("{url}/health")).await.status, 200);
    let flags = std::fs::read_to_string(format!("/proc/{}/fdinfo/2", server.id())).unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_eq!(
        flags & 0o4000,
        0,
        "the pipe is non-blocking, for every process that shares it"
    );
    signal(server.id(), "TERM");
    assert_eq!(exit_code(&mut server, Duration::from_secs(3)), Some(0));
    let kept = answered(&read_on(&mut server));
    assert!(kept > 100 && kept < REQUESTS, "the pipe was not full: {kept}");
}

#[tokio::test]
async fn on_lambda_a_log_that_nobody_reads_holds_up_one_invocation_at_most() {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = broken().with("AWS_LAMBDA_RUNTIME_API", api.address()).start_run(&[]);
    let event = EventShape::FunctionUrl.event("GET", "/nothing", &[]);
    let mut slow = 0;
    for _ in 0..REQUESTS {
        let start = Instant::now();
        assert_eq!(api.exchange(&event).await.status, 404);
        slow += usize::from(start.elapsed() > Duration::from_millis(90));
    }
    assert!(slow < REQUESTS / 20, "{slow} invocations waited for the log");
    let records = read_on(&mut lambda);
    assert!(
        records.iter().any(|record| !record["dropped"].is_null()),
        "the pipe was not full"
    );
    lambda.kill().unwrap();
    lambda.wait().unwrap();
}

#[tokio::test]
async fn lost_records_are_counted_in_one_record_once_somebody_reads() {
    let (mut server, url) = unread(broken());
    ask(&url, REQUESTS).await;
    let records = read_on(&mut server);
    let lost: Vec<_> = records.iter().filter(|record| !record["dropped"].is_null()).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    let dropped = usize::try_from(lost[0]["dropped"].as_u64().unwrap()).unwrap();
    assert_eq!(lost[0]["level"], "WARN");
    assert_eq!(answered(&records) + dropped, REQUESTS);
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::test]
async fn with_a_reader_no_record_is_lost_and_the_last_ones_come_before_the_end() {
    let mut server = broken().serve();
    ask(&server.url, 2000).await;
    server.signal("TERM");
    assert_eq!(server.exit_code(Duration::from_secs(9)), Some(0));
    server.wait_for_line("draining");
    let log = server.log();
    assert_eq!(log.matches("\"access\"").count(), 2000);
    assert!(!log.contains("dropped"), "{log}");
}

#[tokio::test]
async fn a_burst_of_records_waits_for_a_slow_reader_and_loses_none() {
    let (mut server, url) = unread(broken());
    let mut log = server.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut read, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(length @ 1..) = log.read(&mut chunk) {
            read.extend_from_slice(&chunk[..length]);
            std::thread::sleep(Duration::from_millis(10));
        }
        String::from_utf8(read).unwrap()
    });
    assert_eq!(Client::http1().get(&format!("{url}/burst")).await.status, 200);
    signal(server.id(), "TERM");
    assert_eq!(exit_code(&mut server, Duration::from_secs(9)), Some(0));
    assert_eq!(reader.join().unwrap().matches("\"burst\"").count(), 20_000);
}

#[tokio::test]
async fn nothing_in_a_record_forges_a_line_or_commands_a_terminal() {
    for format in ["text", "json"] {
        let port = free_port();
        let mut server = broken()
            .with("LOG_FORMAT", format)
            .with("PORT", port.to_string())
            .start("listening");
        for (path, status) in [("/log", 200), ("/handler", 500)] {
            let url = format!("http://127.0.0.1:{port}{path}");
            assert_eq!(Client::http1().get(&url).await.status, status);
        }
        server.wait_for_line("/handler");
        let log = server.log();
        // In each: message, and two fields or the place of a panic.
        assert!(log.matches("three").count() >= 4, "{log}");
        for line in log.lines() {
            assert!(!line.contains(['\r', '\u{1b}']), "{line:?}");
            if format == "text" {
                assert!(!line.contains(['\u{85}', '\u{2028}', '\u{202e}']), "{line:?}");
                assert!(!line.starts_with("2026-01-01"), "forged: {line:?}");
                assert!(line[..20].ends_with('Z'), "not a record: {line:?}");
            } else {
                assert!(serde_json::from_str::<Value>(line).is_ok(), "not a record: {line:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_record_of_its_request_at_every_level_of_logging() {
    for level in ["info", "off"] {
        let port = free_port();
        let function = broken().with("RUST_LOG", level).with("PORT", port.to_string());
        let mut server = function.start_run(&[]);
        wait_for_port(port);
        let url = format!("http://127.0.0.1:{port}/handler");
        let answer = Client::http1()
            .send(hyper::Method::GET, &url, &[("x-request-id", "mine")])
            .await;
        assert_eq!(answer.status, 500);
        let records = read_on(&mut server);
        let panics: Vec<_> = records.iter().filter(|record| record["target"] == "process").collect();
        assert_eq!(panics.len(), 1, "{records:?}");
        assert_eq!(
            (&panics[0]["level"], &panics[0]["request_id"]),
            (&"ERROR".into(), &"mine".into())
        );
        assert!(panics[0]["message"].as_str().unwrap().starts_with("panicked: one\n"));
        assert!(panics[0]["location"].as_str().unwrap().contains("broken/src/main.rs:"));
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

#[test]
fn a_panic_that_ends_the_process_is_its_last_record() {
    // The second one aborts.
    for (start, code) in [("once", Some(101)), ("twice", None)] {
        let output = broken().with("BROKEN_START", start).run(&[]);
        assert_eq!(output.status.code(), code);
        let log = String::from_utf8(output.stderr).unwrap();
        let records = log
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap());
        let records: Vec<Value> = records.collect();
        assert!(
            records[0]["message"].as_str().unwrap().starts_with("panicked: one\n"),
            "{log}"
        );
        assert_eq!(start == "twice", log.contains("the second panic"), "{log}");
    }
}

#[test]
fn a_pipe_that_another_process_made_non_blocking_loses_no_record() {
    // Python and the function share one open file, so O_NONBLOCK is set for both. Both find the pipe full.
    let fill = "import os\nos.set_blocking(2, False)\ntry:\n  while True: os.write(2, b'0' * 4096)\nexcept BlockingIOError: pass";
    let script = r#"{ python3 -c "$1"; printf x >&2 || echo full; exec "$0" wrong; } 2>&1 >&3 | { sleep 0.3; cat; }"#;
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            &format!("{{ {script}; }} 3>&1"),
            env!("CARGO_BIN_EXE_broken"),
            fill,
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("full\n"), "the pipe had room for one more byte");
    let record: Value = serde_json::from_str(&log[log.find('{').unwrap()..]).unwrap();
    assert!(
        record["message"].as_str().unwrap().contains("the only argument is"),
        "{record}"
    );
}
