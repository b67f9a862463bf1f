//! One binary, four lives. Only this module distinguishes a Lambda environment from a container, a job and a laptop.

mod access_log;
mod app;
mod cold_start;
mod cors;
mod errors;
#[cfg(feature = "callers")]
mod gate;
mod http;
mod job;
mod lambda;
mod middleware;
mod on_end;
mod route;
mod routes;
mod service;
mod signals;

use crate::{
    body::LAMBDA_LIMIT,
    config::Env,
    telemetry::{self, PROCESS},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

pub use app::App;
pub use cors::{Cors, EXPOSED_HEADERS};
#[cfg(feature = "callers")]
pub use gate::{ORIGIN_REFUSED, TokenCookie};
pub use http::{bind, serve_until};
pub use job::{Format, Job, Outcome, run_job, run_once};
pub use route::{Declared, Policy, Route};
pub use service::{Responses, Service};
pub use signals::stop_on_signal;

/// The exit code for an unknown argument (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// The exit code for invalid settings (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// How long the log may delay the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the function in the life that its environment asks for, and returns the exit code.
///
/// | environment | life |
/// |---|---|
/// | `AWS_LAMBDA_RUNTIME_API` | Lambda, until the platform ends the process |
/// | `CLOUD_RUN_JOB`, or the argument `check` | the function's own check, once |
/// | otherwise | HTTP on `0.0.0.0:$PORT`, until SIGTERM or SIGINT |
pub fn serve(build: impl FnOnce(&Env) -> Service) -> ExitCode {
    start(|env| {
        signals::catch();
        let lambda = lambda::Settings::from_env(env);
        let service = match lambda {
            Some(_) => build(env).limit_bodies(LAMBDA_LIMIT),
            None => build(env),
        };
        service.refuse_undeclared(env);
        let (mut routes, responses, check) = service.into_parts();
        let port = env.parse("PORT", 8080, "a port between 0 and 65535", |text| text.parse().ok());
        if lambda.is_some() && responses == Responses::Buffered {
            routes.router = lambda::in_one_piece(routes.router);
        }
        let app = App::with_routes(routes, &Cors::from_env(env));
        let arguments = arguments();
        let known = arguments.is_some_and(|all| all.iter().all(|argument| argument == "check"));
        let is_job = env.text("CLOUD_RUN_JOB").is_some() || std::env::args_os().len() > 1;
        async move {
            if !known {
                usage("the only argument is `check`; everything else is a setting")
            } else if let Some(settings) = lambda {
                lambda::serve(settings, app, responses).await
            } else if is_job {
                job::finish(check.await).await
            } else {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                listen(address, app, responses).await
            }
        }
    })
}

/// The command-line arguments, without the program's name; `None` if one is not UTF-8.
fn arguments() -> Option<Vec<String>> {
    let arguments = std::env::args_os().skip(1);
    arguments.map(|argument| argument.into_string().ok()).collect()
}

/// Logs why the arguments are not valid.
fn usage(reason: &str) -> ExitCode {
    tracing::error!(target: PROCESS, "{reason}");
    ExitCode::from(EXIT_USAGE)
}

/// Reads the settings, starts telemetry, and runs `life` on this thread unless a setting is invalid.
pub fn start<F>(life: impl FnOnce(&Env) -> F) -> ExitCode
where
    F: Future<Output = ExitCode>,
{
    cold_start::started();
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
            () = signals::unhandled() => {
                tracing::error!(target: PROCESS, "stopped by a signal before the end");
                ExitCode::FAILURE
            }
        }
    });
    // A DNS lookup that hangs on a thread of the pool must not delay the exit.
    runtime.shutdown_background();
    code
}

async fn unless_invalid(env: &Env, life: impl Future<Output = ExitCode>) -> ExitCode {
    let invalid = env.take_invalid();
    if invalid.is_empty() {
        return life.await;
    }
    let invalid: Vec<String> = invalid.iter().map(ToString::to_string).collect();
    let message = format!("invalid settings: {}", invalid.join("; "));
    tracing::error!(target: PROCESS, "{message}");
    lambda::report_init_error(env, &message).await;
    ExitCode::from(EXIT_CONFIG)
}

/// Dropped when the process ends by itself, also by a panic.
struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        telemetry::flush(FLUSH_TIMEOUT);
    }
}

async fn listen(address: SocketAddr, app: App, responses: Responses) -> ExitCode {
    let listener = match http::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "cannot listen");
            return ExitCode::FAILURE;
        }
    };
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    // The task above catches signals before the log says that this process listens.
    tokio::task::yield_now().await;
    cold_start::ready();
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "listening");
    serve_until(stop, listener, app, responses).await;
    ExitCode::SUCCESS
}
