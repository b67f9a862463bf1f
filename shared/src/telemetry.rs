//! Logs on standard error: text on a terminal, one JSON object a line otherwise, in the dialect of the platform.

use crate::config::Env;
use serde_json::{Map, Value};
use std::{
    fmt,
    io::{IsTerminal, stderr},
    time::SystemTime,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, filter::Targets, fmt::FmtContext, fmt::FormatEvent, fmt::FormattedFields, fmt::format::JsonFields,
    fmt::format::Writer, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

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
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = if text {
        layer.boxed()
    } else {
        let cloud_run = env.text("K_SERVICE").or_else(|| env.text("CLOUD_RUN_JOB")).is_some();
        let dialect = if cloud_run { CLOUD_LOGGING } else { PLAIN };
        layer.fmt_fields(JsonFields::new()).event_format(dialect).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
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
