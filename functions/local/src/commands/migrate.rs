//! `local migrate`: the migration job, on the database that `local` serves with. Also while `local` runs, and where its
//! migrations have failed.

use super::{dependencies::Dependencies, refuse};
use shared::{
    config::Env,
    runtime::{Format, run_once},
};
use std::process::ExitCode;

/// Runs the job with these arguments.
pub fn run(env: &Env, arguments: &[&str]) -> impl Future<Output = ExitCode> + use<> {
    let mut dependencies = Dependencies::from_env(env);
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    async move {
        match dependencies.start_database().await {
            Ok(env) => run_once(migrate::job(env), arguments, Format::Text).await,
            Err(sentence) => refuse(&sentence),
        }
    }
}
