//! The kit of the tests: real binaries in each of their lives, and the services that they talk to, real or emulated.

mod binary;
mod client;
mod clock;
pub mod contract;
mod endless;
mod events;
mod first_process;
pub mod gcs;
mod hostile;
mod issuer;
pub mod matrix;
mod migrations;
mod pgbouncer;
mod postgres;
mod probed;
mod problems;
mod process;
mod proxy;
mod runtime_api;
pub mod s3;
pub mod tokens;

pub use binary::Binary;
pub use client::{Client, Exchange};
pub use clock::FakeClock;
pub use endless::Endless;
pub use events::EventShape;
pub use first_process::signals_end_the_first_process;
pub use hostile::hostile;
pub use issuer::{Fault, Issuer, SigningKey};
pub use migrations::{migrations, newest_migration};
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, database_of, execute, migrate, scalar};
pub use probed::{DEADLINE, Probed};
pub use problems::{HostileRequest, hostile_request, problem_type};
pub use process::{Process, exit_code, signal, signal_group};
pub use proxy::Proxy;
pub use runtime_api::{FakeRuntimeApi, Posted};

/// A listener on a free port of 127.0.0.1, and its URL.
pub async fn loopback() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

/// A free port of 127.0.0.1, for a server that cannot choose one.
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
