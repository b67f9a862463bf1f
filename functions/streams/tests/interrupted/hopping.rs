//! Three instances, writers that pause and transactions that are rolled back, and a reader that asks another instance for each
//! page.

use crate::{Caller, streams_in, writer::Writer};
use durable::wrong;
use hyper::Method;
use std::{collections::BTreeSet, time::Duration};
use testing::{Postgres, Process, execute};
use tokio::{task::JoinSet, time::sleep};

const APPENDS: i64 = 60;

/// A pause in milliseconds, as if by chance.
fn pause(writer: i64, number: i64) -> i64 {
    (writer * 7919 + number * 104_729) % 1000 % 13
}

/// What a reader has read, and what is stored.
struct Hopped {
    read: Vec<i64>,
    stored: Vec<i64>,
}

impl Hopped {
    /// Over instances of a database while all write.
    async fn over(database: String) -> Self {
        let binary = streams_in(database.clone());
        let servers: Vec<Process> = (0..3).map(|_| binary.serve()).collect();
        let caller = Caller::new();
        let url = caller.create(&servers[0].url, "a").await;
        let urls: Vec<String> = servers.iter().map(|server| server.url.clone()).collect();
        let reading = tokio::spawn(async move { hop(&urls).await });
        let mut writing = JoinSet::new();
        for number in 0..3 {
            let servers: Vec<&Process> = servers.iter().cycle().skip(number).take(3).collect();
            let writer = Writer::new(&servers, "a", &number.to_string());
            writing.spawn(write(writer, i64::try_from(number).unwrap()));
        }
        for number in 3..6 {
            writing.spawn(write_in_transactions(database.clone(), number));
        }
        writing.join_all().await;
        Writer::new(&[&servers[1]], "a", "last").close().await;
        let (read, pages) = reading.await.unwrap();
        assert!(pages > 30, "{pages} pages are no hops");
        let stored = caller.messages(&url).await;
        assert_complete(&stored);
        Self { read, stored }
    }
}

async fn write(mut writer: Writer, number: i64) {
    for append in 0..APPENDS {
        writer.append(number * 1000 + append).await;
        sleep(Duration::from_millis(pause(number, append).unsigned_abs())).await;
    }
}

async fn write_in_transactions(database: String, writer: i64) {
    for append in 0..APPENDS {
        // Every fifth transaction is rolled back, after its append.
        let end = if append % 5 == 4 { "ROLLBACK" } else { "COMMIT" };
        let (message, pause) = (writer * 1000 + append, pause(writer, append) * 3);
        let transaction =
            format!("BEGIN; SELECT streams.append('a', '{message}'); SELECT pg_sleep({pause} / 1000.0); {end}");
        execute(&database, &transaction).await;
    }
}

/// Each message that was not rolled back is stored once.
fn assert_complete(stored: &[i64]) {
    let expected = (0..6).flat_map(|writer| (0..APPENDS).map(move |append| (writer, append)));
    let expected = expected.filter(|(writer, append)| *writer < 3 || append % 5 != 4);
    let expected: BTreeSet<i64> = expected.map(|(writer, append)| writer * 1000 + append).collect();
    assert_eq!(stored.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(stored.len(), expected.len(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_that_hops_has_read_is_what_is_stored() {
    let hopped = Hopped::over(Postgres::shared().migrated_database().await).await;
    assert_eq!(hopped.read, hopped.stored);
}

/// How many records a reader has missed with another design.
async fn missed(design: &str) -> usize {
    let database = Postgres::shared().migrated_database().await;
    execute(&database, design).await;
    let Hopped { read, stored } = Hopped::over(database).await;
    println!("{} of {} records were missed", stored.len() - read.len(), stored.len());
    stored.len() - read.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn control_with_positions_of_a_sequence_the_reader_misses_some() {
    let missed = missed(&wrong::positions_of_a_sequence()).await;
    assert!(missed > 0, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_with_positions_of_a_clock_the_reader_misses_some() {
    let missed = missed(&wrong::positions_of_a_clock()).await;
    assert!(missed > 0, "none");
}

/// Reads to the end of the stream, each page from the next server. Returns the messages, and how many pages they were.
async fn hop(servers: &[String]) -> (Vec<i64>, usize) {
    let (caller, mut read, mut offset, mut pages) = (Caller::new(), Vec::new(), "-1".to_owned(), 0);
    loop {
        let target = format!(
            "{}/v1/stream/a?offset={offset}&live=long-poll",
            servers[pages % servers.len()]
        );
        let page = caller.ask(Method::GET, &target, &[], "").await;
        assert!([200, 204].contains(&page.status.as_u16()), "{page:?}");
        pages += 1;
        if page.status == 200 {
            read.extend(serde_json::from_slice::<Vec<i64>>(&page.body).unwrap());
        }
        if page.headers.contains_key("stream-closed") {
            return (read, pages);
        }
        offset = page.headers["stream-next-offset"].to_str().unwrap().to_owned();
    }
}
