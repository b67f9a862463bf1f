//! Requests whose answer takes seconds: their clients leave, or the process drains.

use socket2::SockRef;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};
use testing::{Binary, Process};

/// `health-db` over a server that accepts connections and sends nothing, so that an answer takes this time.
fn slow(time: &str) -> (Process, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://user@{}/db", silent.local_addr().unwrap());
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", url)
        .with("HEALTH_CACHE", "1ms")
        .with("HEALTH_TIMEOUT", time);
    (function.serve(), silent)
}

fn connect(server: &Process) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
}

const SLOW: &str = "GET /health/db HTTP/1.1\r\nhost: x\r\n\r\n";

/// Clients such as `nc -N`, and some of HTTP/1.0, close their half to mark the end of a request.
#[tokio::test]
async fn a_client_that_closes_its_half_behind_its_requests_gets_every_answer() {
    let (server, _silent) = slow("1s");
    let old = "GET /health/db HTTP/1.0\r\n\r\n";
    for (requests, count) in [(SLOW, 1), (old, 1), (&SLOW.repeat(3), 3)] {
        // Longer than `HEALTH_CACHE`.
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
    let (mut server, _silent) = slow("10s");
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
        assert!(line["duration_ms"].as_f64().unwrap() < 5000.0, "{line}");
    }
}

#[tokio::test]
async fn a_new_request_during_the_drain_is_refused_and_one_that_was_begun_is_answered() {
    let (mut server, _silent) = slow("3s");
    let (mut idle, mut begun) = (connect(&server), connect(&server));
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 4096]).unwrap(), 0);
    begun.write_all(SLOW.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    server.wait_for_line("draining");
    let (start, address) = (Instant::now(), server.url.trim_start_matches("http://"));
    let refused = loop {
        match TcpStream::connect(address) {
            Ok(_) => assert!(start.elapsed() < Duration::from_secs(1), "it is accepted"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(idle.read(&mut [0; 4096]).unwrap(), 0, "an idle connection stays open");
    assert!(server.is_running(), "the drain was over before the new request");
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with('}'), "{answer}");
    assert_eq!(server.exit_code(Duration::from_secs(4)), Some(0));
}
