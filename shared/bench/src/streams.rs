//! Appends of 256 bytes to durable streams, by one process, against pgbench that calls the same function of the server with as
//! many clients, one append a commit.

use crate::median;
use durable::{Log, append, within};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use testing::{Postgres, execute};
use tokio::task::JoinSet;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const DATA: &str = "256 bytes of text in each of the records, as the event of a case may have them. ";

/// How many writers append to how many streams.
const LOADS: [(usize, usize); 3] = [(16, 64), (64, 1), (1000, 10_000)];
/// A server with its defaults takes 100 clients.
const MOST_CLIENTS: usize = 64;

pub async fn throughput() {
    println!(
        "\n| appends of 256 B, a server with its defaults | pgbench, appends/s | a process, appends/s | ratio |\n|---|---|---|---|"
    );
    let postgres = Postgres::start(&["fsync=on", "full_page_writes=on"]);
    let url = postgres.migrated_database().await;
    execute(
        &url,
        "SELECT streams.create('s/' || n, 'text/plain') FROM generate_series(0, 9999) n",
    )
    .await;
    let log = Log::at(&url, &[]);
    for (writers, streams) in LOADS {
        let (mut peer, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(pgbench(&url, writers.min(MOST_CLIENTS), streams));
            ours.push(load(&log, writers, streams).await);
        }
        let (peer, ours) = (median(peer), median(ours));
        println!(
            "| {writers} writers, {streams} streams | {peer:.0} | {ours:.0} | {:.2} |",
            ours / peer
        );
    }
}

fn data() -> String {
    DATA.chars().cycle().take(256).collect()
}

async fn load(log: &Log, writers: usize, streams: usize) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let log = log.clone();
        tasks.spawn(async move {
            let mut appends = 0_u32;
            let mut next = writer * 7919;
            while start.elapsed() < ROUND {
                next = (next * 31 + 17) % 1_000_003;
                let append = append(&format!("s/{}", next % streams), data());
                log.streams
                    .append(&within(30), append)
                    .await
                    .expect("the stream is there");
                appends += 1;
            }
            appends
        });
    }
    let appends: u32 = tasks.join_all().await.iter().sum();
    f64::from(appends) / start.elapsed().as_secs_f64()
}

/// Transactions a second.
fn pgbench(url: &str, clients: usize, streams: usize) -> f64 {
    let script = std::env::temp_dir().join(format!("append-{}.sql", std::process::id()));
    let sql = format!(
        "\\set n random(0, {})\nSELECT verdict FROM streams.append_all(ARRAY['s/' || :n], ARRAY[1], ARRAY['text/plain'], ARRAY['{}'::bytea],
         ARRAY[false], ARRAY[NULL], ARRAY[NULL]::bigint[], ARRAY[NULL]::bigint[], ARRAY[NULL], 1000, true)",
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
