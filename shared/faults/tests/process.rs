//! What the process itself goes through: signals at any moment, no descriptor left, a clock that jumps.

#![allow(clippy::unwrap_used)]

use socket2::SockRef;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};
use testing::{Client, Function, Server};

fn health() -> Function {
    Function::new(env!("CARGO_BIN_EXE_faults-health"))
}

async fn assert_answers(server: &Server) {
    let start = Instant::now();
    assert_eq!(Client::http1().get(&format!("{}/health", server.url)).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn sigterm_at_any_moment_of_a_start_ends_it_within_a_second() {
    for moment in (0..40).map(|step| Duration::from_millis(step / 2)) {
        let mut starting = health().with("PORT", "0").start_run(&[]);
        tokio::time::sleep(moment).await;
        testing::signal(starting.id(), "TERM");
        let start = Instant::now();
        while starting.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(1), "{moment:?}: still running");
        }
    }
}

#[tokio::test]
async fn sigterm_during_a_storm_breaks_no_answer_that_was_begun() {
    let mut answers = 0;
    for moment in [1, 5, 20, 50] {
        let mut server = health().serve();
        let address = server.url.trim_start_matches("http://").to_owned();
        let storm: Vec<_> = (0..8)
            .map(|_| {
                let address = address.clone();
                std::thread::spawn(move || (0..).take_while(|_| answered(&address)).count())
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.signal("TERM");
        assert_eq!(server.exit_code(Duration::from_secs(9)), Some(0));
        answers += storm.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
    }
    assert!(answers > 0, "there was no storm");
}

/// Requests one answer on a connection of its own: a whole one, or none at all, which ends the storm.
fn answered(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let read = stream
        .write_all(request)
        .and_then(|()| stream.read_to_string(&mut answer));
    assert!(
        answer.is_empty() || (read.is_ok() && answer.ends_with("\"}")),
        "a broken answer: {answer:?}"
    );
    !answer.is_empty()
}

/// `health-db` over a server that takes connections and says nothing: its answer takes a second.
fn slow() -> (Server, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://user@{}/db", silent.local_addr().unwrap());
    let function = Function::new(env!("CARGO_BIN_EXE_faults-health-db"))
        .with("DATABASE_URL", url)
        .with("HEALTH_CACHE", "1ms")
        .with("HEALTH_TIMEOUT", "1s");
    (function.serve(), silent)
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
}

const SLOW: &str = "GET /health/db HTTP/1.1\r\nhost: x\r\n\r\n";

/// As `nc -N` does, and HTTP/1.0 clients that mark the end of their request so.
#[tokio::test]
async fn a_client_that_closes_its_half_behind_its_requests_gets_every_answer() {
    let (server, _silent) = slow();
    let old = "GET /health/db HTTP/1.0\r\n\r\n";
    for (requests, count) in [(SLOW, 1), (old, 1), (&SLOW.repeat(3), 3)] {
        // Longer than a result is kept.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut client = connect(&server);
        client.write_all(requests.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (start, mut answers) = (Instant::now(), String::new());
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("\"reason\":\"timeout\"").count(), count, "{answers}");
        assert!(
            start.elapsed() > Duration::from_millis(800),
            "the answer took no moment"
        );
    }
}

#[tokio::test]
async fn a_client_that_resets_its_connection_is_noticed_at_once_whatever_it_sent_before() {
    let (mut server, _silent) = slow();
    for (later, half_closes) in [("", false), (SLOW, false), ("", true), (SLOW, true)] {
        let mut client = connect(&server);
        for part in [SLOW, later] {
            client.write_all(part.as_bytes()).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if half_closes {
            client.shutdown(Shutdown::Write).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let line = server.wait_for_line("\"target\":\"access\"");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "the client left before its answer");
        assert!(line["duration_ms"].as_f64().unwrap() < 500.0, "{line}");
    }
}

#[tokio::test]
async fn a_new_request_during_the_drain_is_refused_and_one_that_was_begun_is_answered() {
    let (mut server, _silent) = slow();
    let (mut idle, mut begun) = (connect(&server), connect(&server));
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 4096]).unwrap(), 0);
    begun.write_all(SLOW.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    server.wait_for_line("draining");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = TcpStream::connect(server.url.trim_start_matches("http://"));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(idle.read(&mut [0; 4096]).unwrap(), 0, "an idle connection stays open");
    assert!(server.is_running(), "the drain was over before the new request");
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with('}'), "{answer}");
    assert_eq!(server.exit_code(Duration::from_secs(4)), Some(0));
}

#[tokio::test]
async fn requests_that_do_not_end_do_not_hold_up_the_drain() {
    let mut server = health().serve();
    let begun = [
        "",
        "GET /health HTTP/1.1\r\nhost: ",
        "GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET ",
        "GET /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    ];
    let mut clients: Vec<TcpStream> = begun.iter().map(|_| connect(&server)).collect();
    for (client, begun) in clients.iter_mut().zip(begun) {
        client.write_all(begun.as_bytes()).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    let start = Instant::now();
    assert_eq!(server.exit_code(Duration::from_secs(8)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn after_sigkill_the_next_process_has_the_port_at_once() {
    let mut first = health().serve();
    let port = first.url.rsplit(':').next().unwrap().to_owned();
    let _open = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    assert_answers(&first).await;
    first.signal("KILL");
    assert_eq!(first.exit_code(Duration::from_secs(1)), None);
    assert_answers(&health().with("PORT", port).serve()).await;
}

#[tokio::test]
async fn without_a_descriptor_left_it_lives_on_and_answers_once_there_are_some() {
    let server = health().under(&["prlimit", "--nofile=64"]).serve();
    assert_answers(&server).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let busy = cpu_ticks(&server);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(cpu_ticks(&server) - busy < 20, "it spins while it waits");
    assert!(
        server.log().contains("cannot accept a connection"),
        "there was a descriptor left"
    );
    drop(held);
    assert_answers(&server).await;
}

/// User and system time, in hundredths of a second.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12]
        .iter()
        .map(|index| fields[*index].parse::<u64>().unwrap())
        .sum()
}

fn libfaketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries
        .find(|library| library.exists())
        .expect("libfaketime is installed")
        .to_str()
        .unwrap()
        .to_owned()
}

/// Probes and a stream, under a clock that is an hour ahead, then back, then a day ahead.
#[tokio::test]
#[ignore = "needs libfaketime, which .ci/run installs"]
async fn a_clock_that_jumps_stops_neither_probes_nor_streams() {
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    let faked = |function: Function| {
        function
            .with("LD_PRELOAD", libfaketime())
            .with("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap())
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    };
    let postgres = testing::Postgres::shared().migrated_database().await;
    let database = Function::new(env!("CARGO_BIN_EXE_faults-health-db"))
        .with("DATABASE_URL", postgres)
        .with("HEALTH_CACHE", "10ms");
    let database = faked(database).serve();
    let stream = Function::new(env!("CARGO_BIN_EXE_faults-sse")).with("SSE_HEARTBEAT_INTERVAL", "50ms");
    let stream = faked(stream).serve();
    let url = format!("{}/sse/heartbeat", stream.url);
    let mut beats = Client::http1().open(hyper::Method::GET, &url, &[]).await.into_body();
    let mut timestamps = Vec::new();
    for jump in ["+0", "+3600", "-3600", "+86400"] {
        std::fs::write(&offset, jump).unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer = Client::http1().get(&format!("{}/health/db", database.url)).await;
        assert_eq!(answer.status, 200, "{jump}: {}", answer.text());
        timestamps.push(answer.json()["timestamp"].as_str().unwrap().to_owned());
        for _ in 0..3 {
            let beat = http_body_util::BodyExt::frame(&mut beats);
            let beat = tokio::time::timeout(Duration::from_secs(1), beat).await;
            assert!(
                beat.is_ok_and(|frame| frame.is_some_and(|frame| frame.is_ok())),
                "{jump}"
            );
        }
    }
    assert!(
        timestamps[2] < timestamps[0] && timestamps[0] < timestamps[1],
        "the clock did not jump: {timestamps:?}"
    );
}
