//! The least that axum can do: `/health` without any layer of ours, on `$PORT`.

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use std::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    const BODY: &str = r#"{"status":"healthy","timestamp":"2026-01-01T00:00:00.000Z"}"#;
    let router = Router::new().route("/health", get(async || ([(CONTENT_TYPE, "application/json")], BODY)));
    let port = std::env::var("PORT").unwrap_or_default().parse().unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    // The line that every function of the bundle writes.
    eprintln!(r#"{{"message":"listening","address":"{}"}}"#, listener.local_addr()?);
    axum::serve(listener, router).await
}
