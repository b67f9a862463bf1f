//! The life of a job: runs once, prints one report, and ends with exit code 0 or 1.

use super::{FLUSH_TIMEOUT, arguments, lambda, signals, start, usage};
use crate::{
    config::Env,
    deadline::Deadline,
    health::{Report, Status},
};
use futures_util::future::LocalBoxFuture;
use std::{
    io::{Write, stdout},
    process::ExitCode,
};
use tokio::time::sleep;

/// The result of a job.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Decides the exit code: 0 or 1. On Lambda, a failure is an invocation error.
    pub success: bool,
    /// For standard output: one line of JSON, or text for a person.
    pub report: String,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self {
            success: report.status != Status::Unhealthy,
            report: report.json().to_owned(),
        }
    }
}

/// A function without routes. Takes the arguments, the format of its report and its deadline.
pub type Job = Box<dyn Fn(Vec<String>, Format, Deadline) -> LocalBoxFuture<'static, Outcome>>;

/// Who reads the report of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A person at a command line.
    Text,
    /// A platform: one line.
    Json,
}

/// Runs a function without routes: once for each invocation on Lambda, once for the process elsewhere.
pub fn run_job(build: impl FnOnce(&Env) -> Job) -> ExitCode {
    start(|env| {
        signals::catch();
        let job = build(env);
        let lambda = lambda::Settings::from_env(env);
        let format = if env.text("CLOUD_RUN_JOB").is_some() {
            Format::Json
        } else {
            Format::Text
        };
        async move {
            match lambda {
                Some(settings) => lambda::run(settings, job).await,
                None => match arguments() {
                    Some(arguments) => run_once(job, arguments, format).await,
                    None => usage("an argument is not UTF-8"),
                },
            }
        }
    })
}

/// Runs a job until it has printed its report. A signal is its deadline.
pub async fn run_once(job: Job, arguments: Vec<String>, format: Format) -> ExitCode {
    let deadline = Deadline::new(None, signals::stop());
    finish(job(arguments, format, deadline).await).await
}

/// Prints the report. If nobody reads standard output, a signal still ends the process.
pub async fn finish(outcome: Outcome) -> ExitCode {
    let report = outcome.report.clone();
    let write = tokio::task::spawn_blocking(move || writeln!(stdout(), "{report}"));
    let stop = signals::stop();
    let abandoned = async {
        stop.cancelled().await;
        sleep(FLUSH_TIMEOUT).await;
    };
    let written = tokio::select! {
        written = write => written.is_ok_and(|written| written.is_ok()),
        () = abandoned => false,
    };
    if !written {
        tracing::error!(
            report = outcome.report,
            "the report cannot be written to standard output"
        );
    }
    #[cfg(feature = "otel")]
    crate::telemetry::otlp::flush().await;
    if outcome.success && written {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
