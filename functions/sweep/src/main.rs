//! The job that deletes what has expired, as a binary: a command line, a Cloud Run job, a Lambda function to invoke.

use shared::runtime;
use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run_job(sweep::job)
}
