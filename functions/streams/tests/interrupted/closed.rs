//! A stream is closed with its last data while many read it live.

use crate::{Caller, JSON, streams};
use hyper::Method;
use std::time::Duration;
use tokio::{task::JoinSet, time::timeout};

const READERS: usize = 50;

/// What each of many readers, on two instances, has seen when its event stream ended.
async fn seen(requests: &[(&[(&str, &str)], &str)]) -> Vec<String> {
    let binary = streams().await;
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
    for (headers, body) in requests {
        caller.ask(Method::POST, &url, headers, body).await;
    }
    let ended = timeout(Duration::from_secs(60), readers.join_all()).await;
    ended.expect("each reader has the end")
}

const CLOSE: (&str, &str) = ("stream-closed", "true");

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_has_the_last_data_and_then_the_end() {
    for seen in seen(&[(&[JSON, CLOSE], "\"last\"")]).await {
        let data = seen
            .find("data:[\"last\"]")
            .unwrap_or_else(|| panic!("no data in {seen}"));
        let end = seen
            .find("\"streamClosed\":true")
            .unwrap_or_else(|| panic!("no end in {seen}"));
        assert!(data < end, "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_where_the_end_is_stored_first_no_reader_has_the_data() {
    for seen in seen(&[(&[CLOSE], ""), (&[JSON], "\"last\"")]).await {
        assert!(
            !seen.contains("last") && seen.contains("\"streamClosed\":true"),
            "{seen}"
        );
    }
}
