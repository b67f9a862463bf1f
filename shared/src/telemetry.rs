//! Logs on standard error: text on a terminal, otherwise one JSON object a line in the format of the platform. All records of
//! a request have its ids, and those of a span its fields.

mod emf;
mod entered;
mod fields;
mod format;
mod levels;
mod log;
#[cfg(feature = "otel")]
pub mod otlp;
mod record;
mod spans;
mod trace;
mod writer;

use crate::config::{Env, program};
use axum::http::HeaderValue;
use emf::Metrics;
use format::{Format, Lines};
use log::Log;
#[cfg(feature = "callers")]
use std::sync::OnceLock;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    future::Future,
    io::{IsTerminal, stderr},
    panic::{PanicHookInfo, set_hook},
    sync::Arc,
    time::Duration,
};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tracing::{Instrument, Level, Span, subscriber::set_global_default};
use tracing_subscriber::filter::Targets;

pub use trace::{Trace, XRAY};
pub use writer::{flush, flush_before_freeze};

/// The target of records about the process itself (panics, invalid settings, lost records). They are written whatever the
/// configured level is.
pub const PROCESS: &str = "process";
/// The target of the access log.
pub const ACCESS: &str = "access";

/// How long a panic waits for its record to be written.
const PANIC_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// The ids of a request, which all its log records have.
#[derive(Clone, Debug)]
pub struct Context {
    /// The `x-request-id` of its answer.
    pub request_id: HeaderValue,
    /// Lambda's id of the invocation.
    pub invocation: Option<HeaderValue>,
    /// The trace that the request belongs to.
    pub trace: Option<Trace>,
    /// The path of the route that it asks for, with `{parameters}`. `None`: there is no such route.
    pub route: Option<&'static str>,
    /// The caller, once it is known.
    #[cfg(feature = "callers")]
    pub caller: OnceLock<LoggedCaller>,
    /// Why the request may not pass.
    #[cfg(feature = "callers")]
    pub refusal: OnceLock<LoggedRefusal>,
}

/// A caller, as the access log names it.
#[cfg(feature = "callers")]
#[derive(Clone, Debug)]
pub struct LoggedCaller {
    /// Who vouches for it.
    pub issuer: Box<str>,
    /// The subject, which may be personal, as a hash.
    pub subject_hash: Box<str>,
}

/// Why a request may not pass, as the access log says it: anybody can cause a refusal, so it has no line of its own.
#[cfg(feature = "callers")]
#[derive(Clone, Debug)]
pub struct LoggedRefusal {
    /// The slug of its problem.
    pub reason: &'static str,
    /// The issuer of the token, if it is one of the settings.
    pub token_issuer: Option<Box<str>>,
    /// By how much a time of the token does not fit the clock of this machine.
    pub clock_seconds: Option<u64>,
}

/// Says in the access line of this request why it may not pass.
#[cfg(feature = "callers")]
pub(crate) fn name_refusal(refusal: LoggedRefusal) {
    if let Some(context) = context() {
        let _ = context.refusal.set(refusal);
    }
}

/// Names the caller of this request in its access line.
#[cfg(feature = "callers")]
pub(crate) fn name_caller(issuer: &str, subject_hash: &str) {
    if let Some(context) = context() {
        let (issuer, subject_hash) = (issuer.into(), subject_hash.into());
        let _ = context.caller.set(LoggedCaller { issuer, subject_hash });
    }
}

impl Context {
    /// The context of a request of which nothing else is known yet.
    pub fn new(request_id: HeaderValue) -> Self {
        Self {
            request_id,
            invocation: None,
            trace: None,
            route: None,
            #[cfg(feature = "callers")]
            caller: OnceLock::new(),
            #[cfg(feature = "callers")]
            refusal: OnceLock::new(),
        }
    }

    /// Whether it asks for the health of something.
    pub fn is_probe(&self) -> bool {
        let rest = self.route.and_then(|route| route.strip_prefix("/health"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

tokio::task_local! {
    static CONTEXT: Arc<Context>;
}

/// Adds this context to every record that `work` logs. A span would do too, but costs a tenth of a request.
pub fn with_context<F: Future>(context: Arc<Context>, work: F) -> impl Future<Output = F::Output> {
    CONTEXT.scope(context, work)
}

/// As [`with_context`], for synchronous work.
pub fn in_context<T>(context: Arc<Context>, work: impl FnOnce() -> T) -> T {
    CONTEXT.sync_scope(context, work)
}

/// As [`tokio::spawn`], for a task that a handler starts: its records have the context of the request, and the fields of the
/// span that starts it.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(attached(work))
}

/// As [`JoinSet::spawn`], with what [`spawn`] adds.
pub fn spawn_in<F>(tasks: &mut JoinSet<F::Output>, work: F) -> AbortHandle
where
    F: Future<Output: Send> + Send + 'static,
{
    tasks.spawn(attached(work))
}

/// As [`tokio::task::spawn_blocking`], with what [`spawn`] adds.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (context, span) = (context(), Span::current());
    tokio::task::spawn_blocking(move || match context {
        Some(context) => in_context(context, || span.in_scope(work)),
        None => span.in_scope(work),
    })
}

/// Looks the context up now: in another task there is none.
fn attached<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let (context, work) = (context(), work.in_current_span());
    async move {
        match context {
            Some(context) => with_context(context, work).await,
            None => work.await,
        }
    }
}

fn context() -> Option<Arc<Context>> {
    CONTEXT.try_with(Arc::clone).ok()
}

/// Starts logging. Reads `RUST_LOG` (`info`; a comma list of `target=level`) and `LOG_FORMAT` (`text` or `json`), and where
/// they are unset, `AWS_LAMBDA_LOG_LEVEL` and `AWS_LAMBDA_LOG_FORMAT`.
pub fn init(env: &Env) {
    let level = env.parse(
        "AWS_LAMBDA_LOG_LEVEL",
        Level::INFO,
        "TRACE, DEBUG, INFO, WARN, ERROR or FATAL",
        |text| match text {
            "FATAL" => Some(Level::ERROR),
            level => level.parse().ok(),
        },
    );
    let levels = env.parse(
        "RUST_LOG",
        // At INFO, sqlx logs every notice of the server.
        Targets::new()
            .with_default(level)
            .with_target("sqlx", level.min(Level::WARN)),
        "a level, or a comma list of target=level",
        levels::parse,
    );
    let format = |text: &str| match text.to_ascii_lowercase().as_str() {
        "text" => Some(true),
        "json" => Some(false),
        _ => None,
    };
    let by_platform = env.parse("AWS_LAMBDA_LOG_FORMAT", stderr().is_terminal(), "Text or JSON", format);
    let text = env.parse("LOG_FORMAT", by_platform, "text or json", format);
    let lines = Lines {
        format: if text { Format::Text } else { json(env) },
        metrics: Metrics::from_env(env),
    };
    // Fails if a subscriber is set already, in a test.
    if set_global_default(Log::new(levels, lines)).is_ok() {
        set_hook(Box::new(log_panic));
    }
    #[cfg(feature = "otel")]
    otlp::init(env);
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("not with a text");
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(target: PROCESS, location, backtrace, "panicked: {message}");
    // Flushed now, because a panic during this one aborts the process.
    flush(PANIC_FLUSH_TIMEOUT);
}

/// The name under which metrics and spans of this process appear: `OTEL_SERVICE_NAME`, else the platform's name of the
/// function, else that of the binary.
fn service_name(env: &Env) -> String {
    let by_platform = || env.text("AWS_LAMBDA_FUNCTION_NAME").or_else(|| env.text("K_SERVICE"));
    let named = env.text("OTEL_SERVICE_NAME").or_else(by_platform);
    named.unwrap_or_else(program)
}

fn json(env: &Env) -> Format {
    if env.text("AWS_LAMBDA_RUNTIME_API").is_some() {
        Format::Lambda
    } else if env.text("K_SERVICE").or_else(|| env.text("CLOUD_RUN_JOB")).is_some() {
        Format::CloudLogging {
            project: env.text("GOOGLE_CLOUD_PROJECT"),
        }
    } else {
        Format::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_of_a_handler_has_the_context_of_its_request() {
        let request = Arc::new(Context::new(HeaderValue::from_static("mine")));
        let id = || context().map(|context| context.request_id.clone());
        let ids_in_tasks = async || {
            let mut tasks = JoinSet::new();
            spawn_in(&mut tasks, async move { id() });
            let [task, thread] = [spawn(async move { id() }), spawn_blocking(id)];
            [
                task.await.unwrap(),
                thread.await.unwrap(),
                tasks.join_all().await.remove(0),
            ]
        };
        let mine = Some(HeaderValue::from_static("mine"));
        assert_eq!(
            with_context(request, ids_in_tasks()).await,
            [&mine, &mine, &mine].map(Clone::clone)
        );
        assert_eq!(ids_in_tasks().await, [None, None, None], "without a request");
    }
}
