//! Answers whose bodies break in every way that a body can, and answers that only look broken.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use shared::{
    deadline::Deadline,
    problem::Problem,
    sse::{self, Event},
    storage::Storage,
};
use std::{
    io,
    time::{Duration, SystemTime},
};

pub fn router(settings: sse::Settings, storage: Storage) -> Router {
    Router::new()
        .route("/stored", get(stored))
        .with_state(storage)
        .route("/events", get(events))
        .with_state(settings)
        .merge(broken())
        .merge(whole())
}

fn broken() -> Router {
    Router::new()
        .route("/broken", get(async || frames([Ok("first"), error()])))
        .route("/broken-at-once", get(async || frames([error()])))
        .route(
            "/panics",
            get(async || Body::from_stream(stream::iter([0, 1]).map(panic_at_1))),
        )
        .route("/too-short", get(async || promising(10, frames([Ok("first")]))))
        .route("/empty-not", get(async || promising(10, Body::empty())))
        .route("/in-one-piece-not", get(async || promising(10, Body::from("first"))))
        .route("/too-long", get(async || promising(5, frames([Ok("first"), Ok("x")]))))
        .route(
            "/broken-after-all",
            get(async || promising(5, frames([Ok("first"), error()]))),
        )
}

fn whole() -> Router {
    Router::new()
        .route(
            "/whole",
            get(async || promising(10, frames([Ok("first"), Ok(""), Ok("later")]))),
        )
        .route(
            "/no-content",
            get(async || (StatusCode::NO_CONTENT, frames([Ok("first")]))),
        )
        .route(
            "/not-modified",
            get(async || (StatusCode::NOT_MODIFIED, promising(10, frames([Ok("first")])))),
        )
        .route(
            "/empty",
            get(async || Body::from_stream(stream::empty::<io::Result<Bytes>>())),
        )
        .route("/binary", get(async || Body::from(&b"\xff\x00\xfe"[..])))
        .route("/large", get(async || vec![b'x'; 64 << 20]))
        .route("/endless", get(async || Body::from_stream(endless())))
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
        Err(_) => Problem::Internal.into_response(),
    }
}

async fn events(State(settings): State<sse::Settings>, deadline: Deadline) -> Response {
    sse::heartbeats(settings, deadline, || {
        let size = std::env::var("EVENT_SIZE").expect("the test says how large an event is");
        let data = &"x".repeat(size.parse().expect("a number"));
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is right");
        Event {
            id: Some(&since_epoch.as_millis().to_string()),
            data,
            ..Event::default()
        }
        .encode()
    })
}
