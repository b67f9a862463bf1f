//! The HTTP server: memory idle and with ten thousand streams, and requests under full load.

use crate::{BARE_AXUM, HEALTH, Measured, SSE, median};
use std::time::{Duration, Instant};
use testing::Process;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const STREAMS: u64 = 10_000;
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(3);

pub async fn memory() {
    println!("\n| memory | figure |\n|---|---|");
    let health = HEALTH.function().with("RUST_LOG", "off,shared::runtime=info").serve();
    println!("| health, idle | {} KiB |", health.resident_kib());
    let sse = SSE.function().with("SSE_MAX_AGE", "10m").serve();
    let before = sse.resident_kib();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = connect(&sse, SSE).await;
        let mut first = [0; 1024];
        let _ = stream.read(&mut first).await;
        streams.push(stream);
    }
    let each = (sse.resident_kib() - before) as f64 / STREAMS as f64;
    println!("| sse, idle | {before} KiB |\n| sse, each of {STREAMS} idle streams | {each:.1} KiB |");
}

pub async fn throughput() {
    let measured = [BARE_AXUM, HEALTH];
    let (mut rates, mut costs) = (measured.map(|_| Vec::new()), measured.map(|_| Vec::new()));
    for _ in 0..ROUNDS {
        for (index, measured) in measured.into_iter().enumerate() {
            let server = measured.function().serve();
            let (requests, seconds) = load(&server, measured).await;
            rates[index].push(requests / seconds);
            costs[index].push(cpu_seconds(&server) * 1e6 / requests);
        }
    }
    let (rates, costs) = (rates.map(median), costs.map(median));
    println!("\n| GET /health, {CONNECTIONS} connections | requests/s | ratio | CPU us a request |\n|---|---|---|---|");
    for (index, measured) in measured.iter().enumerate() {
        let (rate, cost) = (rates[index], costs[index]);
        println!(
            "| {} | {rate:.0} | {:.2} | {cost:.1} |",
            measured.binary,
            rate / rates[0]
        );
    }
}

async fn connect(server: &Process, measured: Measured) -> TcpStream {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(request(measured).as_bytes()).await.expect("it reads");
    stream
}

fn request(measured: Measured) -> String {
    format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", measured.route)
}

/// Sends as many requests as the server can answer, one at a time on each connection.
async fn load(server: &Process, measured: Measured) -> (f64, f64) {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(server, measured).await;
        clients.spawn(async move {
            let (request, mut answer, mut requests) = (request(measured), [0; 1024], 0);
            while start.elapsed() < ROUND {
                // Answers are shorter than a segment, so a read is an answer.
                assert_ne!(stream.read(&mut answer).await.expect("it answers"), 0);
                stream.write_all(request.as_bytes()).await.expect("it reads");
                requests += 1;
            }
            requests
        });
    }
    let requests: u32 = clients.join_all().await.into_iter().sum();
    (f64::from(requests), start.elapsed().as_secs_f64())
}

/// The CPU time that the process has used so far.
pub fn cpu_seconds(server: &Process) -> f64 {
    cpu_seconds_of(&server.pid().to_string())
}

/// The same of what has this name in `/proc`; the kernel counts in hundredths of a second.
pub fn cpu_seconds_of(name: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12]
        .iter()
        .filter_map(|index| fields[*index].parse::<f64>().ok())
        .sum();
    ticks / 100.0
}
