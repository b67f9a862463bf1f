//! Measures the figures of the page beside this package and prints them as tables. Builds each binary alone, as it ships.

mod callers;
mod callers_bytes;
mod lambda;
mod peers;
mod rows;
mod server;
mod storage;
mod streams;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};
use testing::Binary;

/// A binary under measurement.
#[derive(Clone, Copy)]
pub struct Measured {
    binary: &'static str,
    route: &'static str,
}

const BARE_LAMBDA: Measured = measured("bare-lambda", "/");
const BARE_AXUM: Measured = measured("bare-axum", "/health");
const HEALTH: Measured = measured("health", "/health");
const CALLED: Measured = measured("called", "/whoami");
const SSE: Measured = measured("sse", "/sse/heartbeat");
const HEALTH_DB: Measured = measured("health-db", "/health/db");
const STREAMS: Measured = measured("streams", "/health");
const HEALTH_STORAGE: Measured = measured("health-storage", "/health/storage");

const fn measured(binary: &'static str, route: &'static str) -> Measured {
    Measured { binary, route }
}

impl Measured {
    fn path(self) -> PathBuf {
        let target = std::env::current_exe().unwrap_or_default();
        target.with_file_name(self.binary)
    }

    fn bytes(self) -> u64 {
        self.path().metadata().map_or(0, |metadata| metadata.len())
    }

    fn function(self) -> Binary {
        Binary::new(self.path())
    }
}

/// The packages of [`lambda::ALL`].
const DEPLOYED: &[&str] = &["peers", "health", "sse", "health-db", "streams", "health-storage"];

/// What can be measured alone, and the packages whose binaries it needs.
const PARTS: [(&str, &[&str]); 10] = [
    ("sizes", DEPLOYED),
    ("callers", &["peers", "called"]),
    ("lambda", DEPLOYED),
    ("server", &["peers", "health", "sse"]),
    ("rows", &["peers", "rows"]),
    ("storage", &["bucket"]),
    ("appends", &["streams"]),
    ("readers", &["streams"]),
    ("pages", &["streams"]),
    ("durable-streams", &["streams"]),
];

/// Measures the parts that the arguments name, or all.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        eprintln!("{unknown:?} is not one of {:?}", PARTS.map(|(part, _)| part));
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    for (part, packages) in PARTS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == part) {
            continue;
        }
        if let Some(package) = packages.iter().find(|package| !build(package)) {
            eprintln!("{part} needs {package}, which cannot be built");
            code = ExitCode::FAILURE;
            continue;
        }
        measure(part).await;
    }
    code
}

/// Builds the package's binaries as they ship, without the features of others.
fn build(package: &str) -> bool {
    build_with(package, &[])
}

fn build_with(package: &str, options: &[&str]) -> bool {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-p", package]).args(options);
    cargo.status().is_ok_and(|status| status.success())
}

async fn measure(part: &str) {
    match part {
        "sizes" => sizes(),
        "callers" => {
            callers::verification().await;
            callers::cold_starts().await;
            callers_bytes::measure();
        }
        "lambda" => {
            lambda::cold_starts().await;
            lambda::warm_invocations().await;
        }
        "server" => {
            server::memory().await;
            server::throughput().await;
        }
        "rows" => {
            rows::throughput().await;
            rows::template().await;
        }
        "storage" => storage::memory(&measured("bucket", "").path()).await,
        "appends" => streams::appends::against_pgbench().await,
        "readers" => {
            streams::readers::waking().await;
            streams::readers::memory().await;
        }
        "pages" => streams::pages::catch_up().await,
        _ => streams::peer::against_peer().await,
    }
}

fn sizes() {
    println!("\n| binary | bytes, stripped |\n|---|---|");
    for measured in lambda::ALL {
        println!("| {} | {} |", measured.binary, measured.bytes());
    }
}

/// The median of the measurements.
fn median(mut measurements: Vec<f64>) -> f64 {
    measurements.sort_by(f64::total_cmp);
    measurements[measurements.len() / 2]
}
