//! Logs on standard error: text on a terminal, otherwise one JSON object a line in the format of the platform. All records of
//! a request have its ids.

mod format;
#[cfg(feature = "otel")]
pub mod otlp;
mod trace;
mod writer;

use crate::config::Env;
use axum::http::HeaderValue;
use format::Format;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    future::Future,
    io::{IsTerminal, stderr},
    panic::{PanicHookInfo, set_hook},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::{Interest, set_global_default},
};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub use trace::{Trace, XRAY};
pub use writer::{flush, flush_before_freeze};

/// The target of records about the process itself (panics, invalid settings, lost records). They are written whatever the
/// configured level is.
pub const PROCESS: &str = "process";

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

/// As [`tokio::spawn`], for a task that a handler starts: its records have the context of the request.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    // Looked up now: the other task has no context.
    let context = context();
    tokio::spawn(async move {
        match context {
            Some(context) => with_context(context, work).await,
            None => work.await,
        }
    })
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
        |text| text.parse().ok(),
    );
    let format = |text: &str| match text.to_ascii_lowercase().as_str() {
        "text" => Some(true),
        "json" => Some(false),
        _ => None,
    };
    let by_platform = env.parse("AWS_LAMBDA_LOG_FORMAT", stderr().is_terminal(), "Text or JSON", format);
    let text = env.parse("LOG_FORMAT", by_platform, "text or json", format);
    let format = if text { Format::Text } else { json(env) };
    // Fails if a subscriber is set already, in a test.
    if set_global_default(Log { levels, format }).is_ok() {
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

/// Writes events and ignores spans: [`Context`] is all that the records of a request share, and a registry of spans would
/// make every function 72 KB larger.
struct Log {
    levels: Targets,
    format: Format,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let wanted = || self.levels.would_enable(metadata.target(), metadata.level());
        !metadata.is_span() && (metadata.target() == PROCESS || wanted())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.levels
            .iter()
            .map(|(_, level)| level)
            .chain(self.levels.default_level())
            // For the target `process`.
            .chain([LevelFilter::WARN])
            .max()
    }

    fn event(&self, event: &Event<'_>) {
        writer::write(&self.format.line(event));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_of_a_handler_has_the_context_of_its_request() {
        let request = Arc::new(Context {
            request_id: HeaderValue::from_static("mine"),
            invocation: None,
            trace: None,
        });
        let id_in_a_task = async || {
            spawn(async { context().map(|context| context.request_id.clone()) })
                .await
                .unwrap()
        };
        assert_eq!(with_context(request, id_in_a_task()).await.unwrap(), "mine");
        assert_eq!(id_in_a_task().await, None);
    }
}
