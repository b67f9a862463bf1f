//! One binary, four lives: the only place that knows a Lambda environment from a container, a job and a laptop.

mod access;
mod connection;
mod cors;
mod entrance;
mod guarded;
mod http;
mod http2;
mod lambda;
mod runtime_api;
mod service;
mod signals;
mod stream;

use crate::{
    config::Env,
    health::{Report, Status},
    lifetime::Lifetime,
    telemetry::{self, PROCESS},
};
use futures_util::future::LocalBoxFuture;
use std::{
    io::{Write, stdout},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use cors::Cors;
pub use entrance::Entrance;
pub use http::{bind, serve_until};
pub use service::{Responses, Service};
pub use signals::stop_on_signal;

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Decides the exit code: 0 or 1. On Lambda, a failure is an invocation error.
    pub success: bool,
    /// For standard output: one line of JSON, unless it is for a person.
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

/// A function without a route: from its arguments, the format of its report, and the time it has, to its outcome.
pub type Job = Box<dyn Fn(Vec<String>, Format, Lifetime) -> LocalBoxFuture<'static, Outcome>>;

/// Who reads the report of a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A person at a command line.
    Text,
    /// A platform: one line.
    Json,
}

/// An argument that nobody knows (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// Settings that the process cannot live with (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// How long the log may hold up the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Lives the life that the environment asks for, and returns its exit code.
///
/// | environment | life |
/// |---|---|
/// | `AWS_LAMBDA_RUNTIME_API` | Lambda, until the platform ends the process |
/// | `CLOUD_RUN_JOB`, or the argument `check` | the function's own check, once |
/// | otherwise | HTTP on `0.0.0.0:$PORT`, until SIGTERM or SIGINT |
pub fn serve(build: impl FnOnce(&Env) -> Service) -> ExitCode {
    start(|env| {
        signals::catch();
        let (mut router, responses, check) = build(env).into_parts();
        let port = env.parse("PORT", 8080, "a port between 0 and 65535", |text| text.parse().ok());
        let lambda = lambda::Settings::from_env(env);
        if lambda.is_some() && responses == Responses::Buffered {
            router = lambda::in_one_piece(router);
        }
        let entrance = Entrance::new(router, &Cors::from_env(env));
        let arguments = arguments();
        let known = arguments.iter().all(|argument| argument == "check");
        let is_job = env.text("CLOUD_RUN_JOB").is_some() || !arguments.is_empty();
        async move {
            if !known {
                tracing::error!(target: PROCESS, "the only argument is `check`; everything else is a setting");
                ExitCode::from(EXIT_USAGE)
            } else if let Some(settings) = lambda {
                lambda::serve(settings, entrance, responses).await
            } else if is_job {
                finish(check.await).await
            } else {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                listen(address, entrance, responses).await
            }
        }
    })
}

/// The words after the name of this program.
pub fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

/// Lives the life of a function without a route: each Lambda invocation is a run, and so is the process elsewhere.
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
                None => {
                    let lifetime = Lifetime {
                        drain: signals::stop(),
                        ..Lifetime::default()
                    };
                    finish(job(arguments(), format, lifetime).await).await
                }
            }
        }
    })
}

/// Reads the settings, starts telemetry, and drives `life` on this thread, unless a setting is one it cannot live with.
pub fn start<F>(life: impl FnOnce(&Env) -> F) -> ExitCode
where
    F: Future<Output = ExitCode>,
{
    let env = Env::from_process();
    telemetry::init(&env);
    let _flush = FlushAtEnd;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(target: PROCESS, %error, "cannot start the event loop");
            return ExitCode::FAILURE;
        }
    };
    let guard = runtime.enter();
    let life = life(&env);
    drop(guard);
    let code = runtime.block_on(async {
        tokio::select! {
            biased;
            code = unless_invalid(&env, life) => code,
            () = signals::unheeded() => {
                tracing::error!(target: PROCESS, "stopped by a signal before the end");
                ExitCode::FAILURE
            }
        }
    });
    // A name look-up that hangs on its own thread must not hold up the exit.
    runtime.shutdown_background();
    code
}

async fn unless_invalid(env: &Env, life: impl Future<Output = ExitCode>) -> ExitCode {
    let invalid: Vec<String> = env.invalid().iter().map(ToString::to_string).collect();
    if invalid.is_empty() {
        return life.await;
    }
    let message = format!("invalid settings: {}", invalid.join("; "));
    tracing::error!(target: PROCESS, "{message}");
    lambda::report_init_error(env, &message).await;
    ExitCode::from(EXIT_CONFIG)
}

/// Dropped when the process ends by itself, by a panic too.
struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        telemetry::flush(FLUSH_TIMEOUT);
    }
}

async fn listen(address: SocketAddr, entrance: Entrance, responses: Responses) -> ExitCode {
    let listener = match http::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "cannot listen");
            return ExitCode::FAILURE;
        }
    };
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    // Signals are caught before anybody hears that this process is up.
    tokio::task::yield_now().await;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "listening");
    serve_until(stop, listener, entrance, responses).await;
    ExitCode::SUCCESS
}

/// Writes the report. A reader of standard output who stops does not keep a signal from ending the process.
async fn finish(outcome: Outcome) -> ExitCode {
    let report = outcome.report.clone();
    let write = tokio::task::spawn_blocking(move || writeln!(stdout(), "{report}"));
    let stop = signals::stop();
    let given_up = async {
        stop.cancelled().await;
        sleep(FLUSH_TIMEOUT).await;
    };
    let written = tokio::select! {
        written = write => written.is_ok_and(|written| written.is_ok()),
        () = given_up => false,
    };
    if !written {
        tracing::error!(
            report = outcome.report,
            "the report cannot be written to standard output"
        );
    }
    if outcome.success && written {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
