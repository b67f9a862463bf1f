//! Answers whose bodies break in every way that a body can, and answers that only look broken.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use shared::{
    deadline::Deadline,
    problem::{self, Problem},
    runtime::Route,
    sse::{self, Event},
    storage::Storage,
};
use std::{
    io,
    time::{Duration, SystemTime},
};

pub fn routes(settings: sse::Settings, storage: Storage) -> Vec<Route> {
    let with_state = [
        Route::get("/stored", stored).with_state(storage),
        Route::get("/events", events).with_state(settings),
    ];
    with_state.into_iter().chain(broken()).chain(whole()).collect()
}

fn broken() -> [Route; 8] {
    [
        Route::get("/broken", async || frames([Ok("first"), error()])),
        Route::get("/broken-at-once", async || frames([error()])),
        Route::get("/panics", async || {
            Body::from_stream(stream::iter([0, 1]).map(panic_at_1))
        }),
        Route::get("/too-short", async || promising(10, frames([Ok("first")]))),
        Route::get("/empty-not", async || promising(10, Body::empty())),
        Route::get("/in-one-piece-not", async || promising(10, Body::from("first"))),
        Route::get("/too-long", async || promising(5, frames([Ok("first"), Ok("x")]))),
        Route::get("/broken-after-all", async || {
            promising(5, frames([Ok("first"), error()]))
        }),
    ]
}

fn whole() -> [Route; 7] {
    [
        Route::get("/whole", async || {
            promising(10, frames([Ok("first"), Ok(""), Ok("later")]))
        }),
        Route::get("/no-content", async || (StatusCode::NO_CONTENT, frames([Ok("first")]))),
        Route::get("/not-modified", async || {
            (StatusCode::NOT_MODIFIED, promising(10, frames([Ok("first")])))
        }),
        Route::get("/empty", async || {
            Body::from_stream(stream::empty::<io::Result<Bytes>>())
        }),
        Route::get("/binary", async || Body::from(&b"\xff\x00\xfe"[..])),
        Route::get("/large", async || vec![b'x'; 64 << 20]),
        Route::get("/endless", async || Body::from_stream(endless())),
    ]
}

fn frames<const N: usize>(frames: [io::Result<&'static str>; N]) -> Body {
    Body::from_stream(stream::iter(frames))
}

fn error<T>() -> io::Result<T> {
    Err(io::Error::other("it broke"))
}

fn promising(length: u64, body: Body) -> ([(HeaderName, String); 1], Body) {
    ([(CONTENT_LENGTH, length.to_string())], body)
}

fn panic_at_1(number: u8) -> io::Result<Bytes> {
    assert_ne!(number, 1, "a stream that panics");
    Ok(Bytes::from_static(b"first"))
}

/// A chunk now, and one every second.
fn endless() -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Duration::ZERO, async |wait| {
        tokio::time::sleep(wait).await;
        Some((Ok(Bytes::from_static(b"more")), Duration::from_secs(1)))
    })
}

async fn stored(State(storage): State<Storage>) -> Response {
    let key = "file".parse().expect("a key");
    match storage.get(&key, None).await {
        Ok((_, content)) => Body::from_stream(content).into_response(),
        Err(_) => Problem::new(&problem::INTERNAL).into_response(),
    }
}

async fn events(State(settings): State<sse::Settings>, deadline: Deadline) -> Response {
    sse::heartbeats(settings, deadline, || {
        let size = std::env::var("EVENT_SIZE").expect("the test says how large an event is");
        let data = &"x".repeat(size.parse().expect("a number"));
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right");
        Event::default().id(since_epoch.as_millis()).data(data)
    })
}
