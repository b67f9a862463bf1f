//! Logs on standard error: text on a terminal, one JSON object a line otherwise, in the dialect of the platform.

use crate::config::Env;
use axum::http::HeaderValue;
use serde_json::{Map, Value};
use std::{
    fmt,
    future::Future,
    io::{IsTerminal, stderr},
    time::SystemTime,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

tokio::task_local! {
    static REQUEST_ID: HeaderValue;
}

/// Lets every event of `work` be logged under this id. A span would do the same for a tenth of a request's whole cost.
pub fn with_request_id<F: Future>(id: HeaderValue, work: F) -> impl Future<Output = F::Output> {
    REQUEST_ID.scope(id, work)
}

/// Lets `work`, which runs on a task of its own, be logged under the id of the request that starts it.
pub fn inherit_request_id<F: Future>(work: F) -> impl Future<Output = F::Output> {
    // Looked up here and not in the new task, which has none.
    let id = request_id();
    async move {
        match id {
            Some(id) => with_request_id(id, work).await,
            None => work.await,
        }
    }
}

fn request_id() -> Option<HeaderValue> {
    REQUEST_ID.try_with(HeaderValue::clone).ok()
}

/// Starts logging as `RUST_LOG` (`info`; comma list of `target=level`) and `LOG_FORMAT` (`text` or `json`) say.
pub fn init(env: &Env) {
    let levels = env.parse(
        "RUST_LOG",
        // At INFO, sqlx repeats every notice of the server.
        Targets::new()
            .with_default(tracing::Level::INFO)
            .with_target("sqlx", tracing::Level::WARN),
        "a level, or a comma list of target=level",
        |text| text.parse().ok(),
    );
    let text = env.parse(
        "LOG_FORMAT",
        stderr().is_terminal(),
        "text or json",
        |text| match text {
            "text" => Some(true),
            "json" => Some(false),
            _ => None,
        },
    );
    let cloud_run = env.text("K_SERVICE").or_else(|| env.text("CLOUD_RUN_JOB")).is_some();
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = match (text, cloud_run) {
        (true, _) => layer.event_format(Text).boxed(),
        (false, true) => layer.fmt_fields(JsonFields::new()).event_format(CLOUD_LOGGING).boxed(),
        (false, false) => layer.fmt_fields(JsonFields::new()).event_format(PLAIN).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
}

/// For people: time, level, target, message and fields, and the request's id.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (now, metadata) = (humantime::format_rfc3339_seconds(SystemTime::now()), event.metadata());
        write!(writer, "{now} {:>5} {}: ", metadata.level(), metadata.target())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        if let Some(id) = request_id() {
            write!(writer, " request_id={id:?}")?;
        }
        writeln!(writer)
    }
}

/// How a platform names a level, and what it calls a warning.
struct Json {
    level: &'static str,
    warning: &'static str,
}

/// The field that Cloud Logging takes a record's severity from:
/// <https://cloud.google.com/logging/docs/structured-logging>.
const CLOUD_LOGGING: Json = Json {
    level: "severity",
    warning: "WARNING",
};
/// The fields of Lambda's JSON logs, which suit everything else too.
const PLAIN: Json = Json {
    level: "level",
    warning: "WARN",
};

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            tracing::Level::WARN => self.warning,
            level => level.as_str(),
        };
        let mut record = Record(Map::new());
        record.insert(self.level, level);
        record.insert(
            "timestamp",
            humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        );
        record.insert("target", metadata.target());
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|fields| serde_json::from_str::<Map<String, Value>>(&fields.fields).ok());
            record.0.extend(fields.into_iter().flatten());
        }
        if let Some(id) = request_id() {
            record.insert("request_id", String::from_utf8_lossy(id.as_bytes()));
        }
        event.record(&mut record);
        writeln!(writer, "{}", Value::Object(record.0))
    }
}

/// The JSON object of one event.
struct Record(Map<String, Value>);

impl Record {
    fn insert(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field.name(), value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field.name(), value);
    }
}
