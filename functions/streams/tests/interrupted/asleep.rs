//! A database that sleeps when nobody asks is left to sleep, and a writer wakes it, and all readers.

use crate::{Caller, JSON, reader::Reader, streams_in};
use futures_util::future::join_all;
use hyper::Method;
use std::time::Duration;
use testing::{Postgres, database_of, scalar};
use tokio::time::sleep;

/// Statements and sessions that a database has seen: when the last statement began, and how many sessions began.
async fn asked(database: &str) -> (i64, i64) {
    let name = database_of(database);
    let last = format!(
        "SELECT COALESCE(max((extract(epoch FROM query_start) * 1000000)::bigint), 0) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    let sessions = format!("SELECT sessions FROM pg_stat_database WHERE datname = '{name}'");
    let elsewhere = Postgres::shared().url();
    (scalar(&elsewhere, &last).await, scalar(&elsewhere, &sessions).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_long_silence_readers_are_sent_away_for_longer_and_the_database_is_asked_nothing() {
    let database = Postgres::shared().migrated_database().await;
    let binary = streams_in(database.clone()).with("STREAM_SLEEP_AFTER", "3s");
    let servers = [binary.serve(), binary.serve()];
    let caller = Caller::new();
    let url = caller.create(&servers[0].url, "a").await;
    caller.ask(Method::POST, &url, &[JSON], "1").await;
    let live = servers
        .each_ref()
        .map(|server| format!("{}/v1/stream/a?offset=-1&live=sse", server.url));
    let sent_away = join_all(live.iter().map(|url| caller.ask(Method::GET, url, &[], ""))).await;
    for sent_away in sent_away {
        let text = String::from_utf8(sent_away.body.to_vec()).unwrap();
        let times: Vec<&str> = text.lines().filter(|line| line.starts_with("retry:")).collect();
        assert_eq!(times, ["retry: 2000", "retry: 30000"], "{text}");
    }
    let many = format!("{}/v1/streams?live=sse&read=a@-1", servers[0].url);
    let many = caller.ask(Method::GET, &many, &[], "").await;
    assert!(String::from_utf8_lossy(&many.body).contains("retry: 30000"), "{many:?}");
    // A long poll waits its time, and asks nothing meanwhile.
    let end = caller.ask(Method::HEAD, &url, &[], "").await;
    let end = end.headers["stream-next-offset"].to_str().unwrap().to_owned();
    let long_poll = format!("{url}?offset={end}&live=long-poll");
    let long_poll = tokio::spawn(async move { Caller::new().ask(Method::GET, &long_poll, &[], "").await });
    sleep(Duration::from_secs(6)).await;
    let before = asked(&database).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(asked(&database).await, before, "it was asked in its sleep");
    let readers = servers.each_ref().map(|server| Reader::start(&[server], "a"));
    for reader in &readers {
        reader.until(|seen| seen.read.len() == 1).await;
    }
    caller.ask(Method::POST, &url, &[JSON], "2").await;
    for reader in &readers {
        assert_eq!(reader.until(|seen| seen.read.len() == 2).await.messages(), [1, 2]);
    }
    assert!([200, 204].contains(&long_poll.await.unwrap().status.as_u16()));
}
