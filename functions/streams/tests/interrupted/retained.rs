//! The oldest records of a stream are deleted while a reader is away.

use crate::{Caller, JSON, streams_in};
use hyper::Method;
use testing::{Postgres, execute};

/// A reader learns that there is a gap before it gets anything from behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_before_the_oldest_record_is_gone_and_one_behind_it_is_not() {
    let database = Postgres::shared().migrated_database().await;
    let (server, caller) = (streams_in(database.clone()).serve(), Caller::new());
    let url = caller.create(&server.url, "a").await;
    let mut offsets = Vec::new();
    for message in ["100", "200", "300", "400"] {
        let appended = caller.ask(Method::POST, &url, &[JSON], message).await;
        offsets.push(appended.headers["stream-next-offset"].to_str().unwrap().to_owned());
    }
    execute(&database, "SELECT streams.retain('', NULL, 6, 0, 10, 10)").await;
    assert_eq!(caller.messages(&url).await, [300, 400]);
    for (offset, expected) in offsets.iter().zip([None, Some("[300,400]"), Some("[400]")]) {
        for query in ["", "&live=long-poll"] {
            let target = format!("{url}?offset={offset}{query}");
            let answer = caller.ask(Method::GET, &target, &[], "").await;
            match expected {
                None => {
                    assert_eq!(answer.status, 410, "{}", answer.transcript());
                    assert_eq!(answer.json()["type"], "/problems/offset-gone");
                }
                Some(body) => assert_eq!(answer.body, body, "{offset}{query}"),
            }
        }
    }
    for (target, headers) in [
        (format!("{url}?offset={}&live=sse", offsets[0]), None),
        (
            format!("{url}?offset=-1&live=sse"),
            Some(("last-event-id", &*offsets[0])),
        ),
        (
            format!("{}/v1/streams?live=sse&read=a@{}", server.url, offsets[0]),
            None,
        ),
    ] {
        let answer = caller.ask(Method::GET, &target, headers.as_slice(), "").await;
        assert_eq!(answer.status, 410, "{}", answer.transcript());
    }
}

/// As it was asked for, although its oldest records have gone since.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_from_the_start_is_the_same_when_it_is_made_again_after_its_oldest_records_have_gone() {
    let database = Postgres::shared().migrated_database().await;
    let (server, caller) = (streams_in(database.clone()).serve(), Caller::new());
    let url = caller.create(&server.url, "source").await;
    caller.ask(Method::POST, &url, &[JSON], "1").await;
    let fork = format!("{}/v1/stream/fork", server.url);
    let headers = [
        ("stream-forked-from", "/v1/stream/source"),
        ("stream-fork-offset", "-1"),
    ];
    let made = async || caller.ask(Method::PUT, &fork, &headers, "").await.status;
    assert_eq!(made().await, 201);
    for message in ["100", "200"] {
        caller.ask(Method::POST, &fork, &[JSON], message).await;
    }
    execute(&database, "SELECT streams.retain('fork', NULL, 3, 0, 10, 10)").await;
    assert_eq!(caller.messages(&fork).await, [200]);
    assert_eq!(made().await, 200);
}
