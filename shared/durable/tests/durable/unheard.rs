//! Every session that listens is ended, again and again, for half a minute of appends.

use crate::faults::Killer;
use durable::{Log, append, within};
use shared::streams::{Cursor, Follow, Page, ReadFrom};
use sqlx::postgres::PgListener;
use std::{collections::BTreeMap, time::Duration};
use testing::{Postgres, scalar};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const APPENDS: usize = 100;
/// Longer than the longest time between two polls.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest time between two polls, and what a busy machine adds.
const POLL: Duration = Duration::from_secs(3);

/// When each append was read.
type ReadAt = BTreeMap<usize, Instant>;

fn record(read_at: &mut ReadAt, page: &Page) {
    for record in &page.records {
        let number = String::from_utf8_lossy(&record.data).trim().parse().unwrap();
        read_at.entry(number).or_insert_with(Instant::now);
    }
}

/// A reader as it is.
async fn follow(log: Log, mut cursor: Cursor) -> ReadAt {
    let mut read_at = ReadAt::new();
    while read_at.len() < APPENDS {
        let followed = log.streams.follow(&within(10), "a", &cursor, 100).await.unwrap();
        let Follow::Page(page) = followed else {
            panic!("{}", read_at.len())
        };
        record(&mut read_at, &page);
        cursor = page.cursor();
    }
    read_at
}

/// The control: a reader that reads when it is notified, and only then, and so for as long as its session lives.
fn without_poll(log: Log, mut listener: PgListener, cursor: Cursor) -> JoinHandle<ReadAt> {
    tokio::spawn(async move {
        let (mut read_at, mut at) = (ReadAt::new(), cursor.at);
        while let Ok(Ok(Some(_))) = timeout(Duration::from_secs(10), listener.try_recv()).await {
            let page = log.page("a", ReadFrom::At(at), 1 << 20).await;
            record(&mut read_at, &page);
            at = page.next;
        }
        read_at
    })
}

/// How many appends were not read in time.
fn late(appended_at: &[Instant], read_at: &ReadAt) -> usize {
    let appended = appended_at.iter().enumerate();
    let in_time = appended.filter(|(number, at)| read_at.get(number).is_some_and(|read| *read < **at + POLL));
    APPENDS - in_time.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_everything_in_time_while_no_session_can_listen() {
    let url = Postgres::shared().migrated_database().await;
    let (here, there) = (Log::at(&url, &[]), Log::at(&url, &[]));
    let cursor = here.empty("a").await;
    let mut listener = PgListener::connect(&url).await.unwrap();
    listener.listen("streams").await.unwrap();
    let control = without_poll(Log::at(&url, &[]), listener, cursor);
    let reading = tokio::spawn(follow(here, cursor));
    let killer = Killer::start(&url, "query LIKE 'LISTEN%'", Duration::from_millis(5), 1.0);
    let mut appended_at = Vec::new();
    for number in 0..APPENDS {
        // Some come close together, and then none for a while.
        sleep(if number % 20 == 19 { 2 * POLL } else { PAUSE / 10 }).await;
        there
            .streams
            .append(&within(10), append("a", format!("{number} ")))
            .await
            .unwrap();
        appended_at.push(Instant::now());
    }
    assert_eq!(late(&appended_at, &reading.await.unwrap()), 0);
    // That of the control, and the reader's, each time that it tries again.
    assert!(killer.ended() > 3, "{} sessions were ended", killer.ended());
    let control = control.await.unwrap();
    assert!(
        late(&appended_at, &control) > APPENDS / 4,
        "{} were read without a poll",
        control.len()
    );
    assert_eq!(scalar(&url, "SELECT count(*) FROM streams.records").await, 100);
}
