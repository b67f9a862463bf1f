//! Faults of the process: signals at any moment, no file descriptor left.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};

fn health() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_health"))
}

async fn assert_answers(server: &Process) {
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

/// Requests one answer on a new connection. The answer must be whole, or missing altogether, which ends the storm.
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

fn connect(server: &Process) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
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
    let port = first.port();
    let _open = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_answers(&first).await;
    first.signal("KILL");
    assert_eq!(first.exit_code(Duration::from_secs(1)), None);
    assert_answers(&health().with("PORT", port.to_string()).serve()).await;
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
fn cpu_ticks(server: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12]
        .iter()
        .map(|index| fields[*index].parse::<u64>().unwrap())
        .sum()
}
