//! `local job`: a job of the bundle, on the database and the bucket that `local` serves with. Also while `local` runs.

use super::{dependencies::Dependencies, done, refuse};
use crate::functions::{JOBS, NamedJob};
use shared::{
    config::Env,
    runtime::{EXIT_USAGE, Format, run_once},
};
use std::process::ExitCode;

/// Runs the job of this name with these arguments.
pub fn run(env: &Env, name: &str, arguments: &[&str]) -> super::Run {
    match JOBS.iter().find(|(job, _)| *job == name) {
        Some(job) => Box::pin(run_job(env, job, arguments)),
        None => {
            let jobs: Vec<&str> = JOBS.iter().map(|(job, _)| *job).collect();
            refuse(&format!("{name:?} is not one of the jobs: {}", jobs.join(", ")));
            done(ExitCode::from(EXIT_USAGE))
        }
    }
}

fn run_job(env: &Env, (_, job): &'static NamedJob, arguments: &[&str]) -> impl Future<Output = ExitCode> + use<> {
    let mut dependencies = Dependencies::from_env(env);
    // Collects every invalid setting of the job, so that the process ends before Postgres starts.
    drop(job(env));
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    async move {
        match dependencies.start().await {
            Ok((env, _)) => run_once(job(env), arguments, Format::Text).await,
            Err(sentence) => refuse(&sentence),
        }
    }
}
