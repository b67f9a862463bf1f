//! npm's `@durable-streams/server` in file mode: appends, memory, and what it stores twice when it is killed.

use super::{
    Client,
    appends::{Load, data, load},
    database, headers, instance, percentile, postgres,
};
use crate::{median, peers};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};
use testing::{Binary, Process};
use tokio::sync::watch;

const ROUNDS: usize = 3;
const KILLS: usize = 24;
const APPENDS: usize = 12;
const STREAMS: [usize; 2] = [1000, 10_000];

/// Starts a server, or starts it again with what it has stored.
struct Server {
    name: &'static str,
    start: Box<dyn Fn() -> Process>,
}

pub async fn against_peer() {
    let folder = std::env::temp_dir().join(format!("durable-streams-{}", std::process::id()));
    let postgres = postgres();
    let url = database(&postgres, 1).await;
    let (peer, data) = (installed(), folder.clone());
    let servers = [
        Server {
            name: "`@durable-streams/server`, files",
            start: Box::new(move || serve(&peer, &data)),
        },
        Server {
            name: "`streams`",
            start: Box::new(move || instance(&url).serve()),
        },
    ];
    appends(&servers).await;
    memory(&servers).await;
    kills(&servers).await;
    let _ = fs::remove_dir_all(folder);
}

fn serve(peer: &Path, data: &Path) -> Process {
    fs::create_dir_all(data).expect("there is room");
    let server = Binary::new(peer.join("server.js")).under(&["node"]);
    peers::serve(server.with("DATA_DIR", data.to_string_lossy()), "PORT", "listening")
}

async fn appends(servers: &[Server; 2]) {
    println!("\n| appends of 256 B, 16 writers, 64 streams | appends/s | ratio | p50 | p99 |\n|---|---|---|---|---|");
    let started = servers.each_ref().map(|server| (server.start)());
    let mut loads = started.each_ref().map(|_| (Vec::new(), Vec::new()));
    for server in &started {
        create(server, "load", 64).await;
    }
    for _ in 0..ROUNDS {
        for (server, (rates, all)) in started.iter().zip(&mut loads) {
            let Load { rate, times } = load(&server.url, &headers(), "load", 16, 64).await;
            rates.push(rate);
            all.extend(times);
        }
    }
    let first = median(loads[0].0.clone());
    for (server, (rates, mut times)) in servers.iter().zip(loads) {
        times.sort_by(f64::total_cmp);
        let (rate, half, most) = (median(rates), percentile(&times, 50), percentile(&times, 99));
        println!(
            "| {} | {rate:.0} | {:.2} | {half:.1} ms | {most:.1} ms |",
            server.name,
            rate / first
        );
    }
}

async fn memory(servers: &[Server; 2]) {
    println!("\n| resident memory with so many streams of one append | none | 1000 | 10000 |\n|---|---|---|---|");
    for server in servers {
        let started = (server.start)();
        let mib = || started.resident_kib() as f64 / 1024.0;
        let mut line = format!("| {} | {:.1} MiB ", server.name, mib());
        for count in STREAMS {
            create(&started, &format!("memory{count}"), count).await;
            line += &format!("| {:.1} MiB ", mib());
        }
        println!("{line}|");
    }
}

/// Creates streams, and appends to each.
async fn create(server: &Process, folder: &str, count: usize) {
    let mut client = Client::connect(&server.url).await.expect("it listens");
    for stream in 0..count {
        let target = format!("/v1/stream/{folder}/{stream}");
        let created = client.ask("PUT", &target, &headers(), b"").await;
        assert!(matches!(created, Ok(201)), "{created:?}");
        let appended = client.ask("POST", &target, &headers(), data().as_bytes()).await;
        assert!(matches!(appended, Ok(204)), "{appended:?}");
    }
}

async fn kills(servers: &[Server; 2]) {
    println!(
        "\n| killed in the middle of {APPENDS} appends by a producer, {KILLS} times | struck | stored twice | lost |\n|---|---|---|---|"
    );
    for server in servers {
        let (mut struck, mut doubled, mut lost) = (0, 0, 0);
        for round in 0..KILLS {
            let (acknowledged, stored) = killed(server, round).await;
            struck += usize::from(acknowledged < APPENDS);
            let count = |number: usize| stored.iter().filter(|stored| **stored == number).count();
            doubled += (0..APPENDS)
                .map(|number| count(number).saturating_sub(1))
                .sum::<usize>();
            lost += (0..APPENDS).filter(|number| count(*number) == 0).count();
        }
        println!("| {} | {struck} | {doubled} | {lost} |", server.name);
    }
}

/// How many appends a server acknowledged that was killed in the middle of one, and what its stream has after the producer has
/// sent again what was not acknowledged.
async fn killed(server: &Server, round: usize) -> (usize, Vec<usize>) {
    let target = format!("/v1/stream/killed/{round}");
    let doomed = (server.start)();
    let mut client = Client::connect(&doomed.url).await.expect("it listens");
    let created = client.ask("PUT", &target, &headers(), b"").await;
    assert!(matches!(created, Ok(201)), "{created:?}");
    let (url, path) = (doomed.url.clone(), target.clone());
    let (sender, mut progress) = watch::channel((0, Duration::ZERO));
    let appending = tokio::spawn(async move { append_from(&url, &path, 0, &sender).await });
    // The first append also connects. A part of the time that one takes is in the middle of the next on any machine.
    let before = 2 + round % (APPENDS - 2);
    let reached = progress.wait_for(|(count, _)| *count >= before).await;
    let took = reached.expect("the server lives").1;
    sleep(took * (round % 10) as u32 / 10);
    doomed.signal("KILL");
    let acknowledged = appending.await.expect("it does not panic");
    drop(doomed);
    let survivor = (server.start)();
    let repeated = append_from(&survivor.url, &target, acknowledged, &watch::Sender::default()).await;
    assert_eq!(repeated, APPENDS);
    let mut client = Client::connect(&survivor.url).await.expect("it listens");
    let status = client.ask("GET", &format!("{target}?offset=-1"), &headers(), b"").await;
    assert!(matches!(status, Ok(200)), "{status:?}");
    let text = String::from_utf8_lossy(client.body());
    let numbers = text
        .split(';')
        .filter_map(|number| number.rsplit('n').next()?.parse().ok());
    (acknowledged, numbers.collect())
}

/// Appends numbers from one on, and returns up to which they were acknowledged. Says so after each, and how long it took.
async fn append_from(server: &str, target: &str, first: usize, progress: &watch::Sender<(usize, Duration)>) -> usize {
    let Ok(mut client) = Client::connect(server).await else {
        return first;
    };
    for number in first..APPENDS {
        let producer = format!("producer-id: p\r\nproducer-epoch: 0\r\nproducer-seq: {number}\r\n");
        let headers = headers() + &producer;
        let start = Instant::now();
        match client
            .ask("POST", target, &headers, format!("n{number};").as_bytes())
            .await
        {
            Ok(200 | 204) => _ = progress.send_replace((number + 1, start.elapsed())),
            Ok(status) => panic!("{status}: {}", String::from_utf8_lossy(client.body())),
            Err(_) => return number,
        }
    }
    APPENDS
}

/// The folder of the peer. Node finds its packages beside what it runs.
fn installed() -> PathBuf {
    let sources = peers::sources("durable-streams");
    let copy = |file: &str, folder: &Path| fs::copy(sources.join(file), folder.join(file)).expect("there is room");
    let folder = peers::installed("durable-streams", "node_modules", |folder| {
        for file in ["package.json", "package-lock.json"] {
            copy(file, folder);
        }
        peers::run(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(folder),
        );
    });
    copy("server.js", &folder);
    folder
}
