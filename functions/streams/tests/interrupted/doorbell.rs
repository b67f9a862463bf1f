//! `DATABASE_DIRECT_URL` is wrong, or nothing answers there. Readers wait for the poll, and get everything.

use crate::{Caller, reader::Reader, streams_in, writer::Writer};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use testing::{Postgres, database_of, execute, loopback, scalar};
use tokio::time::sleep;

/// The longest time between two polls, and what a busy machine adds.
const POLL: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn where_an_instance_cannot_listen_readers_get_everything_by_its_poll() {
    let database = Postgres::shared().migrated_database().await;
    let (silent, address) = loopback().await;
    let silent_server = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = silent.accept().await {
            connections.push(connection);
        }
    });
    let wrong = [
        "postgresql://127.0.0.1:1/none".to_owned(),
        "postgresql://localhost:nonsense".to_owned(),
        "https://example.com".to_owned(),
        database.replace(database_of(&database), "no_such_database"),
        database.replace("pilotlight@", "nobody:hostile-secret@"),
        address.replace("http://", "postgresql://") + "/silent",
        Postgres::shared().empty_database().await,
    ];
    let caller = Caller::new();
    let writing = streams_in(database.clone()).serve();
    caller.create(&writing.url, "a").await;
    let deaf: Vec<_> = wrong
        .iter()
        .map(|url| streams_in(database.clone()).with("DATABASE_DIRECT_URL", url).serve())
        .collect();
    let readers: Vec<Reader> = deaf.iter().map(|deaf| Reader::start(&[deaf], "a")).collect();
    let mut writer = Writer::new(&[&writing], "a", "p");
    writer.append(-1).await;
    for reader in &readers {
        reader.until(|seen| seen.read.len() == 1).await;
    }
    let mut appended_at = Vec::new();
    for number in 0..4 {
        // Long enough for the poll to become slow, and for who reads with the next append to be late.
        sleep(2 * POLL).await;
        writer.append(number).await;
        appended_at.push(Instant::now());
    }
    for (url, reader) in wrong.iter().zip(&readers) {
        let seen = reader.until(|seen| seen.read.len() == 5).await;
        assert_eq!(seen.messages(), [-1, 0, 1, 2, 3], "{url}");
        for ((_, read_at), appended_at) in seen.read[1..].iter().zip(&appended_at) {
            let late = read_at.saturating_duration_since(*appended_at);
            assert!(late < POLL, "{url}: {late:?}");
        }
    }
    without_a_believed_doorbell_polls_come_soon(&mut writer, &readers).await;
    for deaf in &deaf {
        assert!(!deaf.log().contains("hostile-secret"), "{}", deaf.log());
    }
    silent_server.abort();
}

/// Polls come soon after something was found, also where LISTEN succeeds and nothing is heard: the doorbell is not believed.
async fn without_a_believed_doorbell_polls_come_soon(writer: &mut Writer, readers: &[Reader]) {
    let before = readers[0].seen().read.len();
    let mut appended_at = Vec::new();
    for number in 4..24 {
        writer.append(number).await;
        appended_at.push(Instant::now());
        sleep(Duration::from_millis(100)).await;
    }
    for reader in readers {
        let seen = reader.until(|seen| seen.read.len() == before + appended_at.len()).await;
        let read_at = seen.read[before..].iter().zip(&appended_at);
        let mut late: Vec<Duration> = read_at
            .map(|((_, read), at)| read.saturating_duration_since(*at))
            .collect();
        late.sort();
        assert!(late[late.len() / 2] < Duration::from_millis(250), "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_polls_for_appends_to_its_own_streams_only() {
    let database = Postgres::shared().migrated_database().await;
    let server = streams_in(database.clone()).serve();
    let caller = Caller::new();
    for path in ["read", "other"] {
        caller.create(&server.url, path).await;
    }
    let reader = Reader::start(&[&server], "read");
    execute(&database, "SELECT streams.append('read', '0')").await;
    reader.until(|seen| seen.read.len() == 1).await;
    // Without the doorbell, a poll comes every second.
    let polls_during_appends_to = async |path: &str| {
        let mut asked_at = BTreeSet::new();
        for _ in 0..60 {
            execute(&database, &format!("SELECT streams.append('{path}', '1')")).await;
            sleep(Duration::from_millis(30)).await;
            asked_at.insert(scalar(&database, LAST_QUERY).await);
        }
        asked_at.len()
    };
    let (start, mut own) = (Instant::now(), 0);
    while own < 40 {
        assert!(start.elapsed() < Duration::from_secs(60), "the doorbell wakes nobody");
        own = polls_during_appends_to("read").await;
    }
    let other = polls_during_appends_to("other").await;
    println!("{own} polls for its own stream, {other} for another one");
    assert!(other < own / 2, "{other} polls for another stream, {own} for its own");
}

/// When the instance last asked its database, in microseconds.
const LAST_QUERY: &str = "SELECT (extract(epoch FROM max(query_start)) * 1000000)::bigint FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";
