//! A function whose answers break in every way that a body can. `STREAMED` makes it one that streams.

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use shared::{
    config::{self, Env},
    health::process,
    lifetime::Lifetime,
    problem::Problem,
    runtime::{self, Outcome, Responses, Service},
    sse::{self, Event},
    storage::Storage,
};
use std::{io, process::ExitCode, time::SystemTime};

fn main() -> ExitCode {
    runtime::serve(service)
}

fn service(env: &Env) -> Service {
    let stream = config::Stream::from_env(env);
    let storage = Storage::from_env(env);
    Service {
        router: router(storage).merge(Router::new().route("/events", get(events)).with_state(stream)),
        responses: match env.text("STREAMED") {
            Some(_) => Responses::Streamed {
                heartbeat: stream.heartbeat,
            },
            None => Responses::Buffered,
        },
        check: Box::pin(async {
            Outcome {
                success: true,
                report: String::new(),
            }
        }),
    }
}

fn router(storage: Storage) -> Router {
    Router::new()
        .route("/stored", get(stored))
        .with_state(storage)
        .route("/health", process::alive())
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
        .route("/empty", get(async || Body::from_stream(stream::unfold((), nothing))))
        .route("/large", get(async || vec![b'x'; 64 << 20]))
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

async fn nothing((): ()) -> Option<(io::Result<Bytes>, ())> {
    None
}

async fn stored(State(storage): State<Storage>) -> Response {
    let key = "file".parse().expect("a key");
    match storage.get(&key, None).await {
        Ok((_, content)) => Body::from_stream(content).into_response(),
        Err(_) => Problem::Internal.into_response(),
    }
}

async fn events(State(settings): State<config::Stream>, Extension(lifetime): Extension<Lifetime>) -> Response {
    sse::heartbeats(settings, lifetime, || {
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
