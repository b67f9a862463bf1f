//! Durable streams as a binary.

use shared::runtime;
use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::serve(streams::service)
}
