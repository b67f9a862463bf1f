//! An instance stands still, as a container does that the platform freezes, while others go on.

use crate::{Caller, JSON, reader::Reader, streams_in, writer::Writer};
use hyper::Method;
use std::time::{Duration, Instant};
use testing::{Postgres, execute};
use tokio::time::sleep;

const FREEZE: Duration = Duration::from_secs(32);
/// Until a reader has what came meanwhile: a poll, and a new session for it.
const THAW: Duration = Duration::from_secs(10);

/// Freezes an instance with readers. `during` is the SQL that runs meanwhile.
async fn goes_on_after_a_freeze(settings: &[(&str, &str)], during: &str) {
    let database = Postgres::shared().migrated_database().await;
    let frozen = streams_in(database.clone()).with_all(settings).serve();
    let other = streams_in(database.clone()).serve();
    let caller = Caller::new();
    let url = caller.create(&other.url, "a").await;
    caller.create(&other.url, "deleted").await;
    let (reader, of_deleted) = (Reader::start(&[&frozen], "a"), Reader::start(&[&frozen], "deleted"));
    let mut writer = Writer::new(&[&other], "a", "p");
    writer.append(0).await;
    reader.until(|seen| seen.read.len() == 1).await;
    frozen.signal("STOP");
    let long_poll = format!("{}/v1/stream/a?offset=now&live=long-poll", frozen.url);
    let long_poll = tokio::spawn(async move { Caller::new().ask(Method::GET, &long_poll, &[], "").await });
    for number in 1..100 {
        writer.append(number).await;
    }
    let deleted = format!("{}/v1/stream/deleted", other.url);
    assert_eq!(caller.ask(Method::DELETE, &deleted, &[], "").await.status, 204);
    sleep(FREEZE / 2).await;
    execute(&database, during).await;
    sleep(FREEZE / 2).await;
    assert_eq!(reader.seen().read.len(), 1, "it stood still");
    frozen.signal("CONT");
    let thawed_at = Instant::now();
    let seen = reader.until(|seen| seen.read.len() == 100).await;
    assert!(thawed_at.elapsed() < THAW, "{:?}", thawed_at.elapsed());
    assert_eq!((seen.connections, seen.retry), (1, 2000), "nobody was sent away");
    let read = caller
        .ask(Method::GET, &url.replace(&other.url, &frozen.url), &[], "")
        .await;
    assert_eq!(serde_json::from_slice::<Vec<i64>>(&read.body).unwrap().len(), 100);
    let mut writer = Writer::new(&[&frozen], "a", "q");
    for number in 100..110 {
        writer.append(number).await;
    }
    assert_eq!(writer.answers.keys().collect::<Vec<_>>(), [&200]);
    writer.close().await;
    assert_eq!(reader.end().await.messages(), Vec::from_iter(0..110));
    // From the end, which was that of the moment after the freeze.
    let polled = long_poll.await.unwrap();
    assert!(
        polled.status == 204 || polled.body.starts_with(b"[100"),
        "{}",
        polled.transcript()
    );
    of_deleted.until(|seen| seen.status == 404).await;
    let gone = caller.ask(Method::POST, &deleted, &[JSON], "1").await;
    assert_eq!(gone.status, 404);
}

/// Three instances at once. One has lost its sessions meanwhile; for another one the freeze is longer than the silence after which
/// it sends readers away, but there is data.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_instance_goes_on_where_it_was() {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    tokio::join!(
        goes_on_after_a_freeze(&[], "SELECT"),
        goes_on_after_a_freeze(&[], end),
        goes_on_after_a_freeze(&[("STREAM_SLEEP_AFTER", "20s")], "SELECT"),
    );
}
