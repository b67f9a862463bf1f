//! A stream is closed with its last data while many read it live.

use crate::{Caller, JSON, streams_in};
use durable::wrong;
use hyper::Method;
use std::time::Duration;
use testing::{Postgres, execute};
use tokio::{task::JoinSet, time::timeout};

const READERS: usize = 50;

/// How many of many readers, on two instances, see the end of a stream without having seen its last data.
async fn miss_the_data(database: String) -> usize {
    let binary = streams_in(database);
    let servers = [binary.serve(), binary.serve()];
    let caller = Caller::new();
    let url = caller.create(&servers[0].url, "a").await;
    let mut readers = JoinSet::new();
    let (sender, mut opened) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..READERS {
        let url = format!("{}/v1/stream/a?offset=-1&live=sse", servers[number % 2].url);
        let sender = sender.clone();
        readers.spawn(async move {
            let reader = Caller::new();
            let headers = [("authorization", &*reader.authorization)];
            let answer = reader.client.open(Method::GET, &url, &headers).await;
            sender.send(()).unwrap();
            let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await;
            String::from_utf8(body.unwrap().to_vec()).unwrap()
        });
    }
    for _ in 0..READERS {
        opened.recv().await.unwrap();
    }
    let closed = caller.ask(Method::POST, &url, &[JSON, ("stream-closed", "true")], "\"last\"");
    let closed = closed.await;
    assert_eq!(closed.status, 204, "{closed:?}");
    let ended = timeout(Duration::from_secs(60), readers.join_all()).await;
    let ended = ended.expect("each reader has the end");
    let misses = ended.iter().filter(|seen| {
        let end = seen.find("\"streamClosed\":true");
        let end = end.unwrap_or_else(|| panic!("no end in {seen}"));
        !seen[..end].contains("data:[\"last\"]")
    });
    misses.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_has_the_last_data_and_then_the_end() {
    let database = Postgres::shared().migrated_database().await;
    assert_eq!(miss_the_data(database).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_where_the_end_is_committed_before_the_data_readers_miss_the_data() {
    let database = Postgres::shared().migrated_database().await;
    execute(&database, &wrong::closed_before_the_data()).await;
    let misses = miss_the_data(database).await;
    println!("{misses} of {READERS} readers have missed the data");
    assert!(misses > 0, "none");
}
