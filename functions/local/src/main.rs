//! `cargo run`: the whole bundle on this machine.

use shared::runtime;
use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::start(local::run)
}
