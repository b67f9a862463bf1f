//! For tests: the real binaries in each of their lives, and the real or emulated services that they talk to.

mod binary;
mod client;
pub mod contract;
mod endless;
mod events;
#[cfg(feature = "testing-storage")]
pub mod gcs;
pub mod golden;
mod migrations;
mod pgbouncer;
mod postgres;
mod runtime_api;
#[cfg(feature = "testing-storage")]
pub mod s3;

pub use binary::{Function, Server, signal, signal_group};
pub use client::{Client, Exchange};
pub use endless::Endless;
pub use events::EventShape;
pub use migrations::{migrations, newest_migration};
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, execute, migrate, scalar};
pub use runtime_api::{FakeRuntimeApi, Posted};

/// A listener on a port of its own, and its URL.
pub async fn loopback() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

/// A port of 127.0.0.1 that nobody listens on, for a server that others wrote.
pub fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("loopback has a free port").port()
}

/// Waits until something listens on a port of 127.0.0.1.
pub fn wait_for_port(port: u16) {
    let start = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed().as_secs() < 60, "nothing listens on port {port}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
