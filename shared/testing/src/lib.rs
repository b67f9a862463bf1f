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

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

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
pub use process::{Process, exit_code, raise_file_limit, signal, signal_group};
pub use proxy::Proxy;
pub use runtime_api::{FakeRuntimeApi, Posted};

/// A listener on a free port of 127.0.0.1, and its URL.
pub async fn loopback() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

/// A free port of 127.0.0.1, for a server that cannot choose one. It is below those that the kernel chooses from, so that no
/// other socket takes the port before the server binds it or while the server is restarted.
pub fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Other tests begin elsewhere.
    let first = std::process::id() * 97;
    loop {
        let port = 10_000 + (first + COUNT.fetch_add(1, Ordering::Relaxed)) % 22_000;
        if TcpListener::bind(("127.0.0.1", port as u16)).is_ok() {
            return port as u16;
        }
    }
}

/// Waits until something listens on a port of 127.0.0.1.
pub fn wait_for_port(port: u16) {
    let start = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed().as_secs() < 60, "nothing listens on port {port}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
