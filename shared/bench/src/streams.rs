//! Appends of 256 bytes to durable streams, by one process, against pgbench that calls the same function of the server with as
//! many clients, one append a commit.

use crate::median;
use durable::{Log, append, within};
use shared::streams::{Cursor, Follow, From};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use testing::{Postgres, execute};
use tokio::{task::JoinSet, time::sleep};

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const DATA: &str = "256 bytes of text in each of the records, as the event of a case may have them. ";

/// How many writers append to how many streams.
const LOADS: [(usize, usize); 3] = [(16, 64), (64, 1), (1000, 10_000)];
const READERS: usize = 1000;
const WAKES: usize = 50;
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

/// From the begin of an append in one process to its page at each of many readers in another.
pub async fn waking() {
    println!("\n| append to page, {READERS} readers of one stream | p50 | p99 |\n|---|---|---|");
    let url = Postgres::shared().migrated_database().await;
    execute(&url, "SELECT streams.create('a', 'text/plain')").await;
    let (here, there) = (Log::at(&url, &[]), Log::at(&url, &[]));
    for (name, writer) in [("in the same process", &here), ("in another process", &there)] {
        let epoch = Instant::now();
        let tail = here.page("a", From::Tail, 1).await;
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(read(here.clone(), tail.cursor(), epoch));
        }
        for _ in 0..WAKES {
            sleep(Duration::from_millis(120)).await;
            let now = format!("{} ", epoch.elapsed().as_micros());
            writer
                .streams
                .append(&within(30), append("a", now))
                .await
                .expect("the stream is there");
        }
        let mut times: Vec<f64> = readers.join_all().await.concat();
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        println!("| {name} | {:.1} ms | {:.1} ms |", at(50), at(99));
    }
}

async fn read(log: Log, mut cursor: Cursor, epoch: Instant) -> Vec<f64> {
    let mut times = Vec::new();
    while times.len() < WAKES {
        let followed = log.streams.follow(&within(30), "a", &cursor, 1 << 20).await;
        let Ok(Follow::Page(page)) = followed else {
            panic!("{followed:?}")
        };
        let now = epoch.elapsed().as_micros() as f64;
        for record in &page.records {
            let sent: f64 = String::from_utf8_lossy(&record.data)
                .trim()
                .parse()
                .expect("it is a number");
            times.push((now - sent) / 1000.0);
        }
        cursor = page.cursor();
    }
    times
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
        "\\set n random(0, {})\nSELECT verdict FROM streams.append_all(ARRAY['s/' || :n], ARRAY[1], ARRAY['text/plain'], ARRAY['{}'::bytea], ARRAY[false],
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
