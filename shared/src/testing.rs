//! For tests: the real binaries in each of their lives, and the real or emulated services that they talk to.

mod binary;
mod client;
mod events;
#[cfg(feature = "testing-storage")]
pub mod gcs;
pub mod golden;
mod postgres;
mod runtime_api;
#[cfg(feature = "testing-storage")]
pub mod s3;

pub use binary::{Function, Server, signal};
pub use client::{Client, Exchange};
pub use events::EventShape;
pub use postgres::{Postgres, execute, migrate, scalar};
pub use runtime_api::{FakeRuntimeApi, Posted};

/// A listener on a port of its own, and its URL.
pub async fn loopback() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}
