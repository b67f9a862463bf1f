//! Appends of 256 bytes, against pgbench that calls the same function of the server with as many clients, one append a commit.

use super::{Client, database, headers, instance, percentile, postgres};
use crate::{median, server::cpu_seconds};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const DATA: &str = "256 bytes of text in each of the records, as the event of a case may have them. ";

/// How many writers append to how many streams.
const LOADS: [(usize, usize); 3] = [(16, 64), (64, 1), (1000, 10_000)];
/// A server with its defaults takes 100 clients.
const MOST_CLIENTS: usize = 64;

/// What a load has brought.
pub struct Load {
    /// Appends a second.
    pub rate: f64,
    /// Milliseconds, in order.
    pub times: Vec<f64>,
}

pub async fn against_pgbench() {
    println!(
        "\n| appends of 256 B over HTTP, a server with its defaults | pgbench, appends/s | `streams`, appends/s | ratio | p50 | p99 | CPU us an append |\n|---|---|---|---|---|---|---|"
    );
    let postgres = postgres();
    let url = database(&postgres, 10_000).await;
    let server = instance(&url).serve();
    for (writers, streams) in LOADS {
        let (mut peer, mut rates, mut times, mut costs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(pgbench(&url, writers.min(MOST_CLIENTS), streams));
            let before = cpu_seconds(&server);
            let round = load(&server.url, &headers(), "s", writers, streams).await;
            costs.push((cpu_seconds(&server) - before) * 1e6 / round.times.len() as f64);
            rates.push(round.rate);
            times.extend(round.times);
        }
        times.sort_by(f64::total_cmp);
        let (peer, rate, cost) = (median(peer), median(rates), median(costs));
        println!(
            "| {writers} writers, {streams} streams | {peer:.0} | {rate:.0} | {:.2} | {:.1} ms | {:.1} ms | {cost:.0} |",
            rate / peer,
            percentile(&times, 50),
            percentile(&times, 99),
        );
    }
}

/// Appends to streams below `folder`, as fast as they are answered, one at a time a writer.
pub async fn load(server: &str, headers: &str, folder: &str, writers: usize, streams: usize) -> Load {
    let mut clients = Vec::new();
    for _ in 0..writers {
        clients.push(Client::connect(server).await.expect("the server listens"));
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (writer, client) in clients.into_iter().enumerate() {
        let (headers, folder) = (headers.to_owned(), folder.to_owned());
        tasks.spawn(write(client, headers, folder, writer, streams, start));
    }
    let mut times = tasks.join_all().await.concat();
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Load { rate, times }
}

async fn write(
    mut client: Client,
    headers: String,
    folder: String,
    writer: usize,
    streams: usize,
    start: Instant,
) -> Vec<f64> {
    let (mut times, mut next) = (Vec::new(), writer * 7919);
    while start.elapsed() < ROUND {
        next = (next * 31 + 17) % 1_000_003;
        let target = format!("/v1/stream/{folder}/{}", next % streams);
        let sent_at = Instant::now();
        let status = client.ask("POST", &target, &headers, data().as_bytes()).await;
        assert!(matches!(status, Ok(204)), "{status:?}");
        times.push(sent_at.elapsed().as_secs_f64() * 1000.0);
    }
    times
}

/// 256 bytes of text.
pub fn data() -> String {
    DATA.chars().cycle().take(256).collect()
}

/// Transactions a second.
fn pgbench(url: &str, clients: usize, streams: usize) -> f64 {
    let script = std::env::temp_dir().join(format!("append-{}.sql", std::process::id()));
    let sql = format!(
        "\\set n random(0, {})\nSELECT verdict FROM streams.append_all(ARRAY['s/' || :n], ARRAY[1], ARRAY['text/plain'], ARRAY['{}'::bytea],
         ARRAY[false], ARRAY[false], ARRAY[NULL], ARRAY[NULL]::bigint[], ARRAY[NULL]::bigint[], ARRAY[NULL], 1000, true)",
        streams - 1,
        data(),
    );
    std::fs::write(&script, sql.replace("\n         ", " ")).expect("there is room");
    let mut pgbench = Command::new("pgbench");
    let (clients, seconds) = (clients.to_string(), ROUND.as_secs().to_string());
    pgbench
        .args(["-n", "-M", "prepared", "-c", &clients, "-T", &seconds, "-f"])
        .arg(&script)
        .arg(url);
    let output = pgbench.output().expect("pgbench is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = std::fs::remove_file(script);
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
