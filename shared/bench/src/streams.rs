//! Durable streams through HTTP: appends, live readers and pages, against Postgres itself and against the server that the
//! authors of the protocol have written.

pub mod appends;
mod client;
pub mod pages;
pub mod peer;
pub mod readers;

use crate::STREAMS;
use client::Client;
use serde_json::json;
use testing::{Binary, Postgres, execute, tokens};

/// What a request carries: its caller, and a type where it has a body.
fn headers() -> String {
    let token = tokens::token(json!({"scope": "streams:read streams:write"}));
    format!("authorization: Bearer {token}\r\ncontent-type: text/plain\r\n")
}

/// An instance of the function.
fn instance(url: &str) -> Binary {
    let binary = STREAMS.function().with("DATABASE_URL", url);
    binary
        .with("TOKEN_ISSUERS", tokens::issuers())
        .with("SSE_MAX_AGE", "30m")
}

/// A database whose server syncs to disk, with so many streams of text: `s/0` and so on.
async fn database(postgres: &Postgres, streams: usize) -> String {
    let url = postgres.migrated_database().await;
    let create = format!("SELECT streams.create('s/' || n, 'text/plain') FROM generate_series(0, {streams} - 1) n");
    execute(&url, &create).await;
    url
}

fn postgres() -> Postgres {
    Postgres::start(&["fsync=on", "full_page_writes=on"])
}

/// What stands at this part, in percent, of measurements in order.
fn percentile(sorted: &[f64], part: usize) -> f64 {
    sorted[(sorted.len() - 1) * part / 100]
}
