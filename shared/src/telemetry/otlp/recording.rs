//! Spans that have not ended: those of requests, and below them those of functions.

use super::{EXPORTER, Exporter};
use crate::{
    random,
    telemetry::{
        Context, Trace,
        fields::{Fields, Value as Field},
    },
};
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::{borrow::Cow, sync::Arc, time::SystemTime};

/// How many links a span may have, as in the SDK.
const MAX_LINKS: usize = 128;

/// A span that has not ended.
pub struct Recording {
    span: Trace,
    parent: Option<Trace>,
    start: SystemTime,
    links: Vec<Link>,
    failed: bool,
}

/// Starts a span below the caller's and puts it into the context, so that log records name it. `None` if nothing is
/// exported, or if the caller does not record its trace.
pub fn begin(context: Context) -> (Context, Option<Recording>) {
    let recording = Recording::below(context.trace);
    let trace = recording.as_ref().map(Recording::trace).or(context.trace);
    (Context { trace, ..context }, recording)
}

impl Recording {
    fn below(parent: Option<Trace>) -> Option<Self> {
        let is_wanted = EXPORTER.get().is_some() && parent.is_none_or(|parent| parent.sampled);
        is_wanted.then(|| Self {
            span: Trace {
                id: parent.map_or_else(|| random::u128().max(1), |parent| parent.id),
                span: random::u64().max(1),
                sampled: true,
            },
            parent,
            start: SystemTime::now(),
            links: Vec::new(),
            failed: false,
        })
    }

    /// Starts a span of a function. `parent` is the span around it, and its position if that is recorded.
    ///
    /// Nothing is recorded below what is not recorded, or below a probe, whose own span is not sent if it is healthy.
    pub fn of_span(parent: Option<Option<Trace>>, is_root: bool, context: Option<&Context>) -> Option<Self> {
        match (parent, context) {
            (Some(parent), _) => Self::below(Some(parent?)),
            (None, Some(context)) if context.is_probe() => None,
            (None, Some(context)) => {
                let request = context.trace.filter(|request| request.sampled)?;
                Self::below((!is_root).then_some(request))
            }
            (None, None) => Self::below(None),
        }
    }

    /// Its position in the trace.
    pub fn trace(&self) -> Trace {
        self.span
    }

    /// Links another span that caused this one.
    pub fn follows_from(&mut self, cause: Trace) {
        if self.links.len() < MAX_LINKS {
            self.links.push(Link::with_context(span_context(cause)));
        }
    }

    /// It ends with an error.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Ends the span of a function.
    pub fn end_span(self, name: &'static str, fields: &Fields) {
        let attributes = fields.iter().map(|(name, value)| KeyValue::new(name, attribute(value)));
        let status = if self.failed { Status::error("") } else { Status::Unset };
        self.end(name, SpanKind::Internal, attributes.collect(), status);
    }

    /// Ends the span. Nothing here blocks: a batch is sent later.
    pub fn end(self, name: impl Into<Cow<'static, str>>, kind: SpanKind, attributes: Vec<KeyValue>, status: Status) {
        let Some(exporter) = EXPORTER.get() else { return };
        let mut links = SpanLinks::default();
        links.links = self.links;
        let size = attributes.iter().map(|attribute| size(&attribute.value)).sum();
        let data = SpanData {
            span_context: span_context(self.span),
            parent_span_id: self.parent.map_or(0, |parent| parent.span).into(),
            parent_span_is_remote: self.parent.is_some() && kind == SpanKind::Server,
            span_kind: kind,
            name: name.into(),
            start_time: self.start,
            end_time: SystemTime::now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status,
            instrumentation_scope: InstrumentationScope::builder("pilotlight").build(),
        };
        Exporter::queue(exporter, data, size);
    }
}

fn span_context(trace: Trace) -> SpanContext {
    let (id, span) = (trace.id.into(), trace.span.into());
    SpanContext::new(id, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn attribute(value: &Field) -> Value {
    match value {
        Field::Bool(value) => (*value).into(),
        Field::Signed(value) => (*value).into(),
        // OTLP has no larger integers.
        Field::Unsigned(value) => i64::try_from(*value).map_or_else(|_| value.to_string().into(), Value::from),
        Field::Float(value) => (*value).into(),
        Field::Text(text) => Arc::clone(text).into(),
    }
}

/// About how many bytes an attribute takes.
fn size(value: &Value) -> usize {
    const ATTRIBUTE: usize = 64;
    ATTRIBUTE
        + if let Value::String(text) = value {
            text.as_str().len()
        } else {
            0
        }
}
