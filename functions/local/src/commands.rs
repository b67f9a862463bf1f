//! The command line. Each run executes one command; without arguments, `local` serves.

mod doctor;
mod openapi;
mod serve;

use futures_util::future::LocalBoxFuture;
use shared::{
    config::Env,
    runtime::{self, EXIT_USAGE},
};
use std::{future::ready, path::Path, process::ExitCode};

const USAGE: &str = "local [doctor [FOLDER] | openapi]; everything else is a setting in the environment";

/// Runs the command in the arguments of this process. Unknown arguments print the usage and exit with 64.
pub fn run(env: &Env) -> LocalBoxFuture<'static, ExitCode> {
    let arguments = runtime::arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => return Box::pin(serve::run(env)),
        ["doctor"] => doctor::run(env, Path::new(".")),
        ["doctor", folder] => doctor::run(env, Path::new(folder)),
        ["openapi"] => openapi::run(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    };
    Box::pin(ready(done))
}
