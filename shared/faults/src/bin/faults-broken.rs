//! A function that breaks in every way that a function can: for tests of what its clients and its log see.

use axum::{
    Router,
    body::{Body, Bytes},
    http::header::CONTENT_LENGTH,
    routing::get,
};
use futures_util::{StreamExt, stream};
use shared::{
    config::Env,
    runtime::{self, Outcome, Service},
};
use std::{future::pending, io, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    runtime::serve(|env| {
        let start = env.text("BROKEN_START");
        let _panics = (start.as_deref() == Some("twice")).then(|| PanicsWhenDropped);
        assert!(start.is_none(), "{HOSTILE}");
        service(env)
    })
}

/// What no line of a log may hold as it is.
const HOSTILE: &str = "one\n2026-01-01T00:00:00Z ERROR forged: two\r\u{1b}[2J\u{85}\u{2028}\u{202e}three";

fn service(env: &Env) -> Service {
    let routes = Router::new()
        .route("/fails", get(async || body(|| Err(io::Error::other("changed bytes")))))
        .route("/panics", get(async || body(|| panic!("a body panicked"))))
        .route(
            "/short",
            get(async || ([(CONTENT_LENGTH, "20")], body(|| Ok(Bytes::new())))),
        )
        .route("/handler", get(async || -> Body { panic!("{HOSTILE}") }))
        .route("/log", get(log))
        .route("/burst", get(burst))
        .route("/binary", get(async || Body::from(&b"\xff\x00\xfe"[..])))
        .route("/endless", get(async || Body::from_stream(endless())));
    let service = Service::new(routes).check(async {
        println!("the check has begun");
        pending::<Outcome>().await
    });
    match env.text("STREAMED") {
        Some(_) => service.streamed(Duration::from_secs(15)),
        None => service,
    }
}

/// 20,000 records at once: some megabytes.
async fn burst() {
    for number in 0..20_000 {
        tracing::info!(number, padding = "0".repeat(100), "burst");
    }
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("the second panic");
    }
}

async fn log() {
    tracing::info!(debug = HOSTILE, display = %HOSTILE, "{HOSTILE}");
}

/// Some content, then `end`.
fn body(end: fn() -> io::Result<Bytes>) -> Body {
    let content = stream::iter([Ok(Bytes::from_static(b"the first part"))]);
    Body::from_stream(content.chain(stream::once(async move { end() })))
}

/// A chunk now, and one every second.
fn endless() -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::unfold(Duration::ZERO, async |wait| {
        tokio::time::sleep(wait).await;
        Some((Ok(Bytes::from_static(b"more")), Duration::from_secs(1)))
    })
}
