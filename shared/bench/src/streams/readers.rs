//! Live readers of one stream over HTTP: when an append reaches them, what that costs the instance, and what they weigh.

use super::{Client, database, headers, instance, percentile, postgres};
use crate::server::{cpu_seconds, cpu_seconds_of};
use shared::random;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use testing::Process;
use tokio::{task::JoinSet, time::sleep};

const READERS: [usize; 2] = [1000, 10_000];
const WAKES: usize = 60;
/// The time between two appends.
const PAUSE: Duration = Duration::from_millis(150);
/// Nobody listens here.
const NOWHERE: (&str, &str) = ("DATABASE_DIRECT_URL", "postgresql://127.0.0.1:1/none");

/// From the begin of an append through one instance to the event at each reader of another.
pub async fn waking() {
    let readers = READERS[0];
    println!(
        "\n| append to event at {readers} readers of one stream | p50 | p99 | CPU us an event |\n|---|---|---|---|"
    );
    let postgres = postgres();
    let url = database(&postgres, 1).await;
    let writer = instance(&url).serve();
    let deaf = instance(&url).with(NOWHERE.0, NOWHERE.1).serve();
    let other = instance(&url).serve();
    for (name, server) in [
        ("through the same instance", &writer),
        ("through another one, with the doorbell", &other),
        ("through another one, by the poll alone", &deaf),
    ] {
        let (times, cost) = wakes(&writer, server, readers).await;
        let (half, most) = (percentile(&times, 50), percentile(&times, 99));
        println!("| {name} | {half:.1} ms | {most:.1} ms | {cost:.1} |");
    }
    let (times, cost) = bare_writes(readers).await;
    let (half, most) = (percentile(&times, 50), percentile(&times, 99));
    println!("| a loop of bare writes to as many sockets | {half:.1} ms | {most:.1} ms | {cost:.1} |");
}

/// The same from a thread that knows its readers and writes as many bytes to each: the least that this machine can do.
async fn bare_writes(readers: usize) -> (Vec<f64>, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let epoch = Instant::now();
    let accepting = thread::spawn(move || {
        let accept = |_| listener.accept().expect("somebody connects").0;
        (0..readers).map(accept).collect::<Vec<TcpStream>>()
    });
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        tasks.spawn(read(Client::connect(&url).await.expect("it listens"), epoch));
    }
    let mut sockets = accepting.join().expect("all are accepted");
    let writing = thread::spawn(move || {
        let before = cpu_seconds_of("thread-self");
        for _ in 0..WAKES {
            thread::sleep(PAUSE);
            let event = event(epoch);
            for socket in &mut sockets {
                socket.write_all(event.as_bytes()).expect("it is read");
            }
        }
        cpu_seconds_of("thread-self") - before
    });
    let mut times = tasks.join_all().await.concat();
    let cost = writing.join().expect("it ends") * 1e6 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    (times, cost)
}

/// What an instance sends, a chunk of two events.
fn event(epoch: Instant) -> String {
    let (now, offset) = (epoch.elapsed().as_micros(), "0000000000000001_0000000000000042");
    format!(
        "ea\r\nid: {offset}\nevent: data\ndata:{now} \n\nid: {offset}\nevent: control\n\
         data:{{\"streamNextOffset\":\"{offset}\",\"streamCursor\":\"3370000\",\"upToDate\":true}}\n\n\r\n"
    )
}

/// The milliseconds to each event, in order, and the CPU time of `server` for each, in microseconds.
async fn wakes(writer: &Process, server: &Process, readers: usize) -> (Vec<f64>, f64) {
    let epoch = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        tasks.spawn(read(open(server).await, epoch));
    }
    // Until the doorbell has been tried.
    sleep(Duration::from_secs(2)).await;
    let mut client = Client::connect(&writer.url).await.expect("it listens");
    // After silence, polls have a second between them.
    append(&mut client, "nothing to measure ").await;
    let before = cpu_seconds(server);
    for _ in 0..WAKES {
        sleep(PAUSE.mul_f64(0.5 + random::fraction())).await;
        append(&mut client, &format!("{} ", epoch.elapsed().as_micros())).await;
    }
    let mut times = tasks.join_all().await.concat();
    let cost = (cpu_seconds(server) - before) * 1e6 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    (times, cost)
}

async fn append(client: &mut Client, text: &str) {
    let status = client.ask("POST", "/v1/stream/s/0", &headers(), text.as_bytes()).await;
    assert!(matches!(status, Ok(204)), "{status:?}");
}

/// A reader at the end of the stream.
async fn open(server: &Process) -> Client {
    let mut client = Client::connect(&server.url).await.expect("it listens");
    let opened = client.open("/v1/stream/s/0?offset=now&live=sse", &headers()).await;
    opened.expect("it answers");
    client
}

async fn read(mut client: Client, epoch: Instant) -> Vec<f64> {
    let mut times = Vec::new();
    while times.len() < WAKES {
        let mut bytes = [0; 4096];
        let count = client.next(&mut bytes).await.expect("it goes on");
        let now = epoch.elapsed().as_micros() as f64;
        let text = String::from_utf8_lossy(&bytes[..count]);
        let events = text.split("event: data\ndata:").skip(1);
        times.extend(events.flat_map(appended_at).map(|sent| (now - sent) / 1000.0));
    }
    times
}

/// The times in an event: several appends may share one.
fn appended_at(event: &str) -> impl Iterator<Item = f64> {
    let line = event.lines().next().unwrap_or_default();
    line.split_whitespace().filter_map(|sent| sent.parse().ok())
}

/// What an instance weighs with so many readers, after each has had an event.
pub async fn memory() {
    println!("\n| resident memory | in all | each reader |\n|---|---|---|");
    let postgres = postgres();
    let url = database(&postgres, 1).await;
    let server = instance(&url).serve();
    let mut readers = vec![open(&server).await];
    deliver(&server, &mut readers).await;
    let before = server.resident_kib();
    println!("| one reader | {:.1} MiB | |", before as f64 / 1024.0);
    for count in READERS {
        while readers.len() < count {
            readers.push(open(&server).await);
        }
        deliver(&server, &mut readers).await;
        let now = server.resident_kib();
        let each = (now - before) as f64 / count as f64;
        println!("| {count} readers | {:.1} MiB | {each:.1} KiB |", now as f64 / 1024.0);
    }
}

async fn deliver(server: &Process, readers: &mut [Client]) {
    let mut client = Client::connect(&server.url).await.expect("it listens");
    append(&mut client, "an event").await;
    for reader in readers {
        reader.next(&mut [0; 4096]).await.expect("it goes on");
    }
}
