//! `GET /health/db` as a binary.

use shared::runtime;
use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::serve(health_db::service)
}
