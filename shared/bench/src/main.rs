//! Measures the figures of README and prints them as tables. Builds each binary alone, as it ships.

mod callers;
mod lambda;
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
const SSE: Measured = measured("sse", "/sse/heartbeat");
const HEALTH_DB: Measured = measured("health-db", "/health/db");
const HEALTH_STORAGE: Measured = measured("health-storage", "/health/storage");

const fn measured(binary: &'static str, route: &'static str) -> Measured {
    Measured { binary, route }
}

impl Measured {
    fn path(self) -> PathBuf {
        let target = std::env::current_exe().unwrap_or_default();
        target.with_file_name(self.binary)
    }

    fn function(self) -> Binary {
        Binary::new(self.path())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // They need no binary.
    if std::env::args().nth(1).as_deref() == Some("streams") {
        streams::throughput().await;
        return ExitCode::SUCCESS;
    }
    for package in [
        "peers",
        "health",
        "sse",
        "health-db",
        "health-storage",
        "bucket",
        "rows",
    ] {
        let built = Command::new("cargo")
            .args(["build", "--release", "-p", package])
            .status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("cannot build {package}");
            return ExitCode::FAILURE;
        }
    }
    sizes();
    callers::verification().await;
    lambda::cold_starts().await;
    lambda::warm_invocations().await;
    server::memory().await;
    server::throughput().await;
    rows::throughput().await;
    rows::template().await;
    storage::memory(&measured("bucket", "").path()).await;
    streams::throughput().await;
    ExitCode::SUCCESS
}

fn sizes() {
    println!("\n| binary | bytes, stripped |\n|---|---|");
    for measured in [BARE_LAMBDA, HEALTH, SSE, HEALTH_DB, HEALTH_STORAGE] {
        let bytes = measured.path().metadata().map_or(0, |metadata| metadata.len());
        println!("| {} | {bytes} |", measured.binary);
    }
}

/// The median of the measurements.
fn median(mut measurements: Vec<f64>) -> f64 {
    measurements.sort_by(f64::total_cmp);
    measurements[measurements.len() / 2]
}
