//! A function that breaks in every way that a function can, so that tests see what clients and platforms get. With
//! `STREAMED`, its answers are streamed; with `BROKEN_START`, it panics before it starts.

mod bodies;
mod downloads;
mod spans;
mod streams;
mod uploads;

use axum::body::Body;
use shared::{
    config::Env,
    runtime::{self, Outcome, Route, Service},
    sse,
    storage::Storage,
};
use std::{future::pending, process::ExitCode};

fn main() -> ExitCode {
    runtime::serve(|env| {
        let start = env.text("BROKEN_START");
        let _panics = (start.as_deref() == Some("twice")).then(|| PanicsWhenDropped);
        assert!(start.is_none(), "{HOSTILE}");
        service(env)
    })
}

/// Text that no line of a log may contain unescaped.
const HOSTILE: &str = "one\n2026-01-01T00:00:00Z ERROR forged: two\r\u{1b}[2J\u{85}\u{2028}\u{202e}three";

fn service(env: &Env) -> Service {
    let stream = sse::Settings::from_env(env);
    let storage = Storage::from_env(env);
    let routes = [
        Route::get("/handler", async || -> Body { panic!("{HOSTILE}") }),
        Route::get("/log", log),
        Route::get("/burst", burst),
    ];
    let routes = routes
        .into_iter()
        .chain(bodies::routes(stream, storage.clone()))
        .chain(downloads::routes(storage))
        .chain(spans::routes())
        .chain(streams::routes(stream))
        .chain(uploads::routes());
    let service = Service::new(routes.map(Route::public)).check(async {
        println!("the check has begun");
        pending::<Outcome>().await
    });
    match env.text("STREAMED") {
        Some(_) => service.streamed(stream.heartbeat),
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
