//! A stream is deleted, or expires, and is created again while a reader is away: the reader learns that its offset is gone.

use crate::{Caller, JSON, streams_in};
use hyper::Method;
use std::time::Duration;
use testing::{Exchange, Postgres};
use tokio::time::sleep;

/// What a reader of `first` gets that comes back, in each way of reading. `offset` makes of its offset the one that it sends.
async fn comes_back(headers: &[(&str, &str)], offset: impl Fn(&str, &str) -> String) -> Vec<(&'static str, Exchange)> {
    let server = streams_in(Postgres::shared().migrated_database().await).serve();
    let (caller, url) = (Caller::new(), format!("{}/v1/stream/a", server.url));
    let create = async |message: &str, headers: &[(&str, &str)]| {
        let created = caller
            .ask(Method::PUT, &url, &[headers, &[JSON]].concat(), message)
            .await;
        assert_eq!(created.status, 201, "{created:?}");
        created.headers["stream-next-offset"].to_str().unwrap().to_owned()
    };
    let first = create("\"first\"", headers).await;
    let live = format!("{url}?offset={first}&live=sse");
    let live = tokio::spawn(async move { Caller::new().ask(Method::GET, &live, &[], "").await });
    if headers.is_empty() {
        sleep(Duration::from_millis(200)).await;
        caller.ask(Method::DELETE, &url, &[], "").await;
    } else {
        // A reader that is there renews a time to live, but not an end that is fixed.
        sleep(Duration::from_millis(1200)).await;
    }
    create("\"again\"", &[]).await;
    let appended = caller.ask(Method::POST, &url, &[JSON], "\"another\"").await;
    let second = appended.headers["stream-next-offset"].to_str().unwrap();
    let offset = offset(&first, second);
    caller.ask(Method::POST, &url, &[("stream-closed", "true")], "").await;
    let mut answers = Vec::new();
    for (way, query) in [
        ("at once", ""),
        ("by a long poll", "&live=long-poll"),
        ("by events", "&live=sse"),
    ] {
        let target = format!("{url}?offset={offset}{query}");
        answers.push((way, caller.ask(Method::GET, &target, &[], "").await));
    }
    let target = format!("{url}?offset=-1&live=sse");
    let headers = [("last-event-id", &*offset)];
    answers.push(("by its last id", caller.ask(Method::GET, &target, &headers, "").await));
    let live = tokio::time::timeout(Duration::from_secs(5), live)
        .await
        .unwrap()
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&live.body).contains("another"),
        "{}",
        live.transcript()
    );
    answers
}

fn in_a_second() -> String {
    humantime::format_rfc3339_millis(std::time::SystemTime::now() + Duration::from_secs(1)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_a_stream_that_was_deleted_and_created_again_is_gone() {
    for (way, answer) in comes_back(&[], |first, _| first.to_owned()).await {
        assert_eq!(answer.status, 410, "{way}: {}", answer.transcript());
        assert_eq!(answer.json()["type"], "/problems/offset-gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_a_stream_that_has_expired_and_was_created_again_is_gone() {
    let at = in_a_second();
    for (way, answer) in comes_back(&[("stream-expires-at", &at)], |first, _| first.to_owned()).await {
        assert_eq!(answer.status, 410, "{way}: {}", answer.transcript());
        assert_eq!(answer.json()["type"], "/problems/offset-gone");
    }
}

/// Where the offset has the end alone, the reader gets the end of another stream's data.
#[tokio::test(flavor = "multi_thread")]
async fn control_with_an_offset_that_does_not_name_the_incarnation_a_reader_mixes_two_streams() {
    let without_incarnation = |first: &str, second: &str| {
        let (incarnation, _) = second.split_once('_').unwrap();
        let (_, end) = first.split_once('_').unwrap();
        format!("{incarnation}_{end}")
    };
    let at = in_a_second();
    for headers in [&[][..], &[("stream-expires-at", &*at)]] {
        for (way, answer) in comes_back(headers, without_incarnation).await {
            let text = String::from_utf8_lossy(&answer.body);
            assert!(
                answer.status == 200 && text.contains("another") && !text.contains("again"),
                "{way}: {text}"
            );
        }
    }
}
