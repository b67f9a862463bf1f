//! Many readers that take a kilobyte a second of a large stream, and an instance that is told to end in the middle.

use crate::{Caller, reader::Reader, slow_reader::SlowReader, streams_in, writer::Writer};
use axum::{Router, body::Body, routing::get};
use futures_util::{future::join_all, stream};
use http_body_util::BodyExt;
use hyper::Method;
use shared::{
    config::Env,
    database::Database,
    deadline::Deadline,
    streams::{ReadFrom, Streams},
};
use std::{io, sync::LazyLock, time::Duration};
use testing::{Postgres, execute, loopback};
use tokio::time::{Instant, sleep, timeout};

const READERS: usize = 200;
const APPEND: usize = 64 << 10;
/// 10 MB.
const APPENDS: usize = 160;
/// The memory that all readers may take, in KiB: each a page, as text and as an event, and a connection.
const MEMORY: u64 = READERS as u64 * 256;

/// Numbers of eight bytes each, so that each byte says where it belongs.
static CONTENT: LazyLock<String> = LazyLock::new(|| {
    (0..APPENDS * APPEND / 8)
        .map(|number| format!("{number:07} "))
        .collect()
});

async fn with_stream() -> String {
    let database = Postgres::shared().migrated_database().await;
    let fill = format!(
        "SELECT streams.create('large', 'text/plain');
         SELECT streams.append('large', (SELECT string_agg(lpad(n::text, 7, '0') || ' ', '' ORDER BY n)
            FROM generate_series(part * {APPEND} / 8, (part + 1) * {APPEND} / 8 - 1) n))
         FROM generate_series(0, {APPENDS} - 1) part"
    );
    execute(&database, &fill).await;
    database
}

const LIVE: &str = "/v1/stream/large?offset=-1&live=sse";

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_take_a_page_each_hold_up_nobody_and_go_on_at_another_instance() {
    let binary = streams_in(with_stream().await);
    let (mut ending, other) = (binary.serve(), binary.serve());
    let caller = Caller::new();
    caller.create(&other.url, "b").await;
    let large = format!("{}/v1/stream/large", ending.url);
    let page = async || caller.ask(Method::GET, &large, &[], "").await;
    page().await;
    let before = ending.resident_kib();
    let start = Instant::now();
    let slow: Vec<SlowReader> = (0..READERS).map(|_| SlowReader::start(&ending.url, LIVE)).collect();
    let fast = Reader::start(&[&ending], "b");
    until_all_have(&slow, 1).await;
    let mut writer = Writer::new(&[&ending], "b", "p");
    let (mut most, mut times) = (0, Vec::new());
    for number in 0..60 {
        let start = Instant::now();
        writer.append(number).await;
        fast.until(|seen| seen.messages().last() == Some(&number)).await;
        times.push(start.elapsed());
        most = most.max(ending.resident_kib());
        sleep(Duration::from_millis(100)).await;
    }
    // A busy machine may hold up some.
    times.sort();
    assert!(times[50] < Duration::from_secs(1), "{times:?}");
    assert_eq!(page().await.body, CONTENT.as_bytes()[..1 << 20]);
    let at_a_kilobyte_a_second = 4096 + 1024 * usize::try_from(start.elapsed().as_secs()).unwrap();
    for reader in &slow {
        assert!(
            (2000..at_a_kilobyte_a_second).contains(&reader.taken()),
            "{} bytes are not slow",
            reader.taken()
        );
    }
    assert!(
        most - before < MEMORY,
        "{before} KiB before and {most} KiB with readers"
    );
    ending.signal("TERM");
    // Half of them take what is on its way, the others stay slow, and are cut off in the middle of an event.
    slow[..READERS / 2].iter().for_each(SlowReader::hurry);
    let code = tokio::task::spawn_blocking(move || ending.exit_code(Duration::from_secs(10)));
    assert_eq!(code.await.unwrap(), Some(0));
    slow.iter().for_each(SlowReader::hurry);
    // Their client takes its time to read what the kernel holds.
    let bodies = timeout(Duration::from_secs(60), join_all(slow.into_iter().map(SlowReader::end))).await;
    for body in bodies.expect("their connections have ended") {
        let (text, id) = whole_events(&body);
        assert!(
            CONTENT.starts_with(&text) && end_of(&id) == text.len(),
            "{} bytes, {id}",
            text.len()
        );
        assert_continues(&format!("{}{LIVE}", other.url), &id).await;
    }
}

async fn until_all_have(readers: &[SlowReader], bytes: usize) {
    let start = Instant::now();
    while readers.iter().any(|reader| reader.taken() < bytes) {
        assert!(start.elapsed() < Duration::from_secs(60), "no answers");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The text of the events that came whole, and the last id.
fn whole_events(body: &[u8]) -> (String, String) {
    let body = std::str::from_utf8(body).unwrap();
    let whole = body.rfind("\n\n").map_or("", |end| &body[..end]);
    let events = whole.split("\n\n").filter(|event| !event.contains("event: control"));
    let data = events.flat_map(|event| event.lines().filter_map(|line| line.strip_prefix("data:")));
    let id = whole.lines().filter_map(|line| line.strip_prefix("id: ")).next_back();
    (data.collect(), id.unwrap_or("-1").to_owned())
}

fn end_of(id: &str) -> usize {
    id.split('_').nth(1).map_or(0, |end| end.parse().unwrap())
}

/// The next data are those after this id.
async fn assert_continues(url: &str, id: &str) {
    let caller = Caller::new();
    let headers = [("authorization", &*caller.authorization), ("last-event-id", id)];
    let mut body = caller.client.try_open(url, &headers).await.unwrap().into_body();
    let mut read = Vec::new();
    while whole_events(&read).0.is_empty() {
        let frame = timeout(Duration::from_secs(10), body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("nothing after {id} but {}", String::from_utf8_lossy(&read)));
        read.extend(frame.unwrap().unwrap().into_data().unwrap());
    }
    let (text, _) = whole_events(&read);
    assert!(
        !text.is_empty() && CONTENT[end_of(id)..].starts_with(&text),
        "after {id}"
    );
}

/// The control: each reader gets the rest of the stream in one piece. A tenth of the readers take more than all may.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_a_limit_of_pages_slow_readers_take_the_whole_stream_each() {
    let database = with_stream().await;
    let env = Env::new(move |key| (key == "DATABASE_URL").then(|| database.clone()));
    let streams = Streams::from_env(&env, Database::from_env(&env));
    let whole = async move || {
        let page = streams
            .page(&Deadline::default(), "large", ReadFrom::Start, usize::MAX)
            .await
            .unwrap();
        Body::from_stream(stream::iter(
            page.records.into_iter().map(|record| Ok::<_, io::Error>(record.data)),
        ))
    };
    let (listener, url) = loopback().await;
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(get(whole))).await });
    let before = resident_kib();
    let slow: Vec<SlowReader> = (0..READERS / 10).map(|_| SlowReader::start(&url, "/")).collect();
    until_all_have(&slow, 1000).await;
    let with_readers = resident_kib();
    assert!(
        with_readers - before > 2 * MEMORY,
        "{before} KiB before and {with_readers} KiB with readers"
    );
    server.abort();
}

/// Of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
