//! The formats of log records: text for people, and JSON for three platforms.

use super::{ACCESS, Context, context, emf::Metrics, record::Record, spans::Around};
use std::{
    fmt::{self, Write},
    time::SystemTime,
};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// How events become lines.
pub struct Lines {
    pub format: Format,
    /// Makes metrics of access lines in JSON.
    pub metrics: Option<Metrics>,
}

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

impl Lines {
    /// The event as exactly one line, whatever its fields and those of the spans around it contain.
    pub fn line(&self, event: &Event<'_>, around: Option<&Around>) -> Vec<u8> {
        let context = context().or_else(|| around?.context.clone());
        match &self.format {
            Format::Text => text(event, around, context.as_deref()).into(),
            format => self.json(format, event, around, context.as_deref()),
        }
    }

    fn json(&self, format: &Format, event: &Event<'_>, around: Option<&Around>, context: Option<&Context>) -> Vec<u8> {
        let (metadata, now) = (event.metadata(), SystemTime::now());
        let mut record = Record::new();
        let (key, level) = format.level(*metadata.level());
        record.insert(key, level);
        record.insert("timestamp", &*humantime::format_rfc3339_millis(now).to_string());
        record.insert("target", metadata.target());
        if let Some(context) = context {
            format.add_context(&mut record, context, around);
        }
        event.record(&mut record);
        if let Some(around) = around {
            record.insert("span", around.name);
            around
                .fields_beside(event)
                .for_each(|(name, value)| record.add_outer(name, value));
        }
        if let Some(metrics) = self.metrics.as_ref().filter(|_| metadata.target() == ACCESS) {
            metrics.describe(event, &mut record, now);
        }
        record.end()
    }
}

impl Format {
    fn level(&self, level: Level) -> (&'static str, &'static str) {
        match (self, level) {
            (Self::CloudLogging { .. }, Level::WARN) => ("severity", "WARNING"),
            // Cloud Logging has no severity below DEBUG.
            (Self::CloudLogging { .. }, Level::TRACE) => ("severity", "DEBUG"),
            (Self::CloudLogging { .. }, level) => ("severity", level.as_str()),
            (_, level) => ("level", level.as_str()),
        }
    }

    /// Adds the ids of a request.
    #[cfg_attr(
        not(feature = "otel"),
        expect(unused_variables, reason = "only an exported span has an id")
    )]
    fn add_context(&self, record: &mut Record, context: &Context, around: Option<&Around>) {
        record.insert("request_id", &*String::from_utf8_lossy(context.request_id.as_bytes()));
        if let (Self::Lambda, Some(id)) = (self, &context.invocation) {
            record.insert("requestId", &*String::from_utf8_lossy(id.as_bytes()));
        }
        let trace = context.trace;
        #[cfg(feature = "otel")]
        let trace = around.and_then(|around| around.trace).or(trace);
        let Some(trace) = trace else { return };
        let span = &*format!("{:016x}", trace.span);
        if let Self::CloudLogging { project } = self {
            let id = match project {
                Some(project) => format!("projects/{project}/traces/{trace}"),
                None => trace.to_string(),
            };
            record.insert("logging.googleapis.com/trace", &*id);
            record.insert("logging.googleapis.com/spanId", span);
            record.insert("logging.googleapis.com/trace_sampled", &trace.sampled);
        } else {
            record.insert("trace_id", &*trace.to_string());
            record.insert("span_id", span);
        }
    }
}

fn text(event: &Event<'_>, around: Option<&Around>, context: Option<&Context>) -> String {
    let (now, metadata) = (humantime::format_rfc3339_seconds(SystemTime::now()), event.metadata());
    let mut line = Line(format!("{now} {:>5} {}:", metadata.level(), metadata.target()));
    event.record(&mut line);
    if let Some(around) = around {
        line.push(format_args!("span={}", around.name));
        let fields = around.fields_beside(event);
        fields.for_each(|(name, value)| line.push(format_args!("{name}={value}")));
    }
    if let Some(context) = context {
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
