//! Clients that take nothing, or next to nothing, of what they have asked for.

use crate::{Caller, slow_reader::SlowReader, streams_in};
use hyper::{Method, Response, body::Incoming};
use serde_json::json;
use std::time::Duration;
use testing::{Client, Postgres, Process, execute, tokens};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const MIB: usize = 1 << 20;

/// A function, whose streams `a` and `b` have four appends of a megabyte each.
async fn server() -> Process {
    let database = Postgres::shared().migrated_database().await;
    let fill = format!(
        "SELECT streams.create(path, 'text/plain') FROM unnest(ARRAY['a', 'b']) path;
         SELECT streams.append(path, repeat('x', {MIB})) FROM unnest(ARRAY['a', 'b']) path, generate_series(1, 4)"
    );
    execute(&database, &fill).await;
    streams_in(database).serve()
}

async fn get(caller: &Caller, url: String) -> (u16, usize) {
    let answer = timeout(Duration::from_secs(9), caller.ask(Method::GET, &url, &[], "")).await;
    let answer = answer.expect("an answer");
    (answer.status.as_u16(), answer.body.len())
}

/// Over HTTP/2 the kernel knows nothing of what a client leaves: here, all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_takes_nothing_has_the_memory_of_no_other_caller() {
    let server = server().await;
    let token = tokens::token(json!({"sub": "mallory", "scope": "streams:read"}));
    let authorization = format!("Bearer {token}");
    let client = Client::h2c_without_window();
    let mut stalled: Vec<Response<Incoming>> = Vec::new();
    let mut refused = 0;
    for _ in 0..60 {
        let url = format!("{}/v1/stream/a", server.url);
        let headers = [("authorization", &*authorization)];
        let answer = client.open(Method::GET, &url, &headers).await;
        refused += usize::from(answer.status() == 503);
        stalled.push(answer);
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "the caller has its share");
    for path in ["a", "b"] {
        let page = get(&Caller::new(), format!("{}/v1/stream/{path}", server.url)).await;
        assert_eq!(page, (200, MIB), "{path}");
    }
    drop(stalled);
}

/// What comes while they wait is in memory for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn live_readers_who_take_nothing_have_no_more_memory_than_others() {
    const READERS: usize = 200;
    let server = server().await;
    let caller = Caller::new();
    let url = caller.create(&server.url, "c").await;
    let live = "/v1/stream/c?offset=now&live=sse";
    let slow: Vec<SlowReader> = (0..READERS).map(|_| SlowReader::start(&server.url, live)).collect();
    while slow.iter().any(|reader| reader.taken() == 0) {
        sleep(Duration::from_millis(100)).await;
    }
    let before = server.resident_kib();
    let message = format!("\"{}\"", "x".repeat(MIB - 2));
    let mut most = before;
    for _ in 0..8 {
        let appended = caller.ask(Method::POST, &url, &[crate::JSON], &message).await;
        assert_eq!(appended.status, 204);
        for _ in 0..5 {
            sleep(Duration::from_millis(100)).await;
            most = most.max(server.resident_kib());
        }
    }
    // A page, its text, its event and what is written of it.
    assert!(most - before < 128 << 10, "{before} KiB before, {most} KiB with them");
}

/// A reader of several streams reads one while an event of another is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_several_streams_who_take_nothing_hold_no_connection() {
    let server = server().await;
    let many = "/v1/streams?live=sse&read=a@-1&read=b@-1";
    let slow: Vec<SlowReader> = (0..40).map(|_| SlowReader::start(&server.url, many)).collect();
    while slow.iter().any(|reader| reader.taken() == 0) {
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let caller = Caller::new();
    let url = format!("{}/v1/stream/a", server.url);
    for _ in 0..10 {
        let head = timeout(Duration::from_secs(9), caller.ask(Method::HEAD, &url, &[], "")).await;
        assert_eq!(head.expect("a connection is free").status, 200);
    }
}

/// The readers of many streams, to which one transaction appends, are fed at once.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_wait_for_the_readers_of_many_streams_are_in_memory_up_to_a_limit() {
    const STREAMS: usize = 200;
    let database = Postgres::shared().migrated_database().await;
    let paths = format!("SELECT 'many/' || number AS path FROM generate_series(1, {STREAMS}) number");
    execute(
        &database,
        &format!("SELECT streams.create(path, 'text/plain') FROM ({paths}) p"),
    )
    .await;
    let server = streams_in(database.clone()).serve();
    let mut polling = JoinSet::new();
    for number in 1..=STREAMS {
        let url = format!("{}/v1/stream/many/{number}?offset=now&live=long-poll", server.url);
        polling.spawn(async move { Caller::new().ask(Method::GET, &url, &[], "").await });
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(polling.len(), STREAMS, "all of them wait");
    let before = server.resident_kib();
    let append = format!("SELECT streams.append(path, repeat('x', {MIB})) FROM ({paths}) p");
    execute(&database, &append).await;
    let mut most = before;
    while !polling.is_empty() {
        most = most.max(server.resident_kib());
        if let Ok(Some(answer)) = timeout(Duration::from_millis(20), polling.join_next()).await {
            let answer = answer.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, MIB));
        }
    }
    println!("{before} KiB before, {most} KiB at most");
    assert!(most - before < 96 << 10, "{before} KiB before, {most} KiB with them");
}
