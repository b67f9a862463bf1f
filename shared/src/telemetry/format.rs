//! The formats of log records: text for people, and JSON for three platforms.

use super::context;
use serde_json::{Map, Value};
use std::{
    fmt::{self, Write},
    time::SystemTime,
};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// The format of a record.
pub enum Format {
    /// For people: time, level, target, message, fields, and the request's id.
    Text,
    /// One JSON object: <https://cloud.google.com/logging/docs/structured-logging>.
    CloudLogging {
        /// The project whose traces the records belong to.
        project: Option<String>,
    },
    /// One JSON object: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>.
    Lambda,
    /// One JSON object, for all other platforms.
    Json,
}

impl Format {
    /// The event as exactly one line, whatever its fields contain.
    pub fn line(&self, event: &Event<'_>) -> String {
        match self {
            Self::Text => text(event),
            _ => self.json(event),
        }
    }

    fn json(&self, event: &Event<'_>) -> String {
        let metadata = event.metadata();
        let mut record = Record(Map::new());
        let (key, level) = self.level(*metadata.level());
        record.insert(key, level);
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        record.insert("timestamp", now.to_string());
        record.insert("target", metadata.target());
        self.add_context(&mut record);
        event.record(&mut record);
        format!("{}\n", Value::Object(record.0))
    }

    fn level(&self, level: Level) -> (&'static str, &'static str) {
        match (self, level) {
            (Self::CloudLogging { .. }, Level::WARN) => ("severity", "WARNING"),
            // Cloud Logging has no severity below DEBUG.
            (Self::CloudLogging { .. }, Level::TRACE) => ("severity", "DEBUG"),
            (Self::CloudLogging { .. }, level) => ("severity", level.as_str()),
            (_, level) => ("level", level.as_str()),
        }
    }

    /// Adds the ids of the current request.
    fn add_context(&self, record: &mut Record) {
        let Some(context) = context() else { return };
        let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
        record.insert("request_id", text(context.request_id.as_bytes()));
        if let (Self::Lambda, Some(id)) = (self, &context.invocation) {
            record.insert("requestId", text(id.as_bytes()));
        }
        let Some(trace) = context.trace else { return };
        let span = format!("{:016x}", trace.span);
        if let Self::CloudLogging { project } = self {
            let id = match project {
                Some(project) => format!("projects/{project}/traces/{trace}"),
                None => trace.to_string(),
            };
            record.insert("logging.googleapis.com/trace", id);
            record.insert("logging.googleapis.com/spanId", span);
            record.insert("logging.googleapis.com/trace_sampled", trace.sampled);
        } else {
            record.insert("trace_id", trace.to_string());
            record.insert("span_id", span);
        }
    }
}

fn text(event: &Event<'_>) -> String {
    let (now, metadata) = (humantime::format_rfc3339_seconds(SystemTime::now()), event.metadata());
    let mut line = Line(format!("{now} {:>5} {}:", metadata.level(), metadata.target()));
    event.record(&mut line);
    if let Some(context) = context() {
        line.push(format_args!("request_id={:?}", context.request_id));
    }
    escaped(&line.0) + "\n"
}

/// Escapes characters that could end the line, control a terminal, or reverse the direction of text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.extend(character.escape_default());
            }
            character if character.is_control() => escaped.extend(character.escape_default()),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The text of one event.
struct Line(String);

impl Line {
    fn push(&mut self, part: fmt::Arguments<'_>) {
        let _ = write!(self.0, " {part}");
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.push(format_args!("{value:?}")),
            name => self.push(format_args!("{name}={value:?}")),
        }
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
