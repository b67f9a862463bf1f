//! Spans of requests, sent to a collector by OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! This module decides when a batch is sent: before Lambda freezes the process, every few seconds in a server, and at the end.
//! The SDK's batches are sent by a thread with a timer, and neither runs while a process is frozen.

use super::{Context, Trace};
use crate::{config::Env, https, random};
use axum::http::{Method, StatusCode, Uri};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use std::{
    mem,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::{sleep, timeout};

/// How long a collector may take to accept a batch, which is lost otherwise. On Lambda, this time is billed.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a server sends the spans that have ended.
const PERIOD: Duration = Duration::from_secs(5);
/// How many spans may wait to be sent. More are dropped, so that memory stays bounded.
const MAX_WAITING: usize = 2048;
/// The longest answer of a collector, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    collector: tokio::sync::Mutex<SpanExporter>,
    ended: Mutex<Vec<SpanData>>,
}

/// Exports spans if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. The exporter reads the specification's other variables
/// (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`).
pub fn init(env: &Env) {
    if env.text("OTEL_EXPORTER_OTLP_ENDPOINT").is_none() {
        return;
    }
    match SpanExporter::builder()
        .with_http()
        .with_http_client(Client(https::Client::default()))
        .build()
    {
        Ok(mut exporter) => {
            exporter.set_resource(&resource(env));
            let _ = EXPORTER.set(Exporter {
                collector: tokio::sync::Mutex::new(exporter),
                ended: Mutex::default(),
            });
        }
        Err(error) => tracing::error!(%error, "spans are not exported"),
    }
}

/// The service's name is `OTEL_SERVICE_NAME`, else the platform's name of the function, else that of the binary.
fn resource(env: &Env) -> Resource {
    let by_platform = env.text("AWS_LAMBDA_FUNCTION_NAME").or_else(|| env.text("K_SERVICE"));
    let named = by_platform.or_else(|| {
        let binary = std::env::current_exe().ok()?;
        Some(binary.file_name()?.to_string_lossy().into_owned())
    });
    let resource = Resource::builder();
    match (env.text("OTEL_SERVICE_NAME"), named) {
        (None, Some(name)) => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

/// The span of a request that has not ended.
pub struct Span {
    span: Trace,
    parent: Option<Trace>,
    start: SystemTime,
}

/// Starts a span below the caller's and puts it into the context, so that log records name it. `None` if nothing is
/// exported, or if the caller does not record its trace.
pub fn begin(context: Context) -> (Context, Option<Span>) {
    let parent = context.trace;
    if EXPORTER.get().is_none() || parent.is_some_and(|parent| !parent.sampled) {
        return (context, None);
    }
    let span = Trace {
        id: parent.map_or_else(|| random::u128().max(1), |parent| parent.id),
        span: random::u64().max(1),
        sampled: true,
    };
    let start = SystemTime::now();
    let trace = Some(span);
    (Context { trace, ..context }, Some(Span { span, parent, start }))
}

impl Span {
    /// Ends the span. `status` is `None` if the client left before its answer.
    pub fn end(self, method: &Method, uri: &Uri, status: Option<StatusCode>) {
        let Some(exporter) = EXPORTER.get() else { return };
        let mut ended = exporter.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() < MAX_WAITING {
            ended.push(self.data(method, uri, status));
        }
    }

    /// The span in the terms of the semantic conventions: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.
    fn data(&self, method: &Method, uri: &Uri, status: Option<StatusCode>) -> SpanData {
        let (method, path) = (method.as_str(), uri.path());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.path", path.to_owned()),
        ];
        attributes.extend(status.map(|code| KeyValue::new("http.response.status_code", i64::from(code.as_u16()))));
        SpanData {
            span_context: SpanContext::new(
                self.span.id.into(),
                self.span.span.into(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: self.parent.map_or(0, |parent| parent.span).into(),
            parent_span_is_remote: self.parent.is_some(),
            span_kind: SpanKind::Server,
            // An unknown path could be anything, so it is not a good name for a group of spans.
            name: match status {
                Some(StatusCode::NOT_FOUND) => method.to_owned().into(),
                _ => format!("{method} {path}").into(),
            },
            start_time: self.start,
            end_time: SystemTime::now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match status {
                Some(code) if !code.is_server_error() => Status::Unset,
                Some(_) => Status::error(""),
                None => Status::error("the client left before its answer"),
            },
            instrumentation_scope: InstrumentationScope::builder("pilotlight").build(),
        }
    }
}

/// Calls [`flush`] every few seconds, forever.
pub async fn flush_periodically() {
    loop {
        sleep(PERIOD).await;
        flush().await;
    }
}

/// Sends the spans that have ended. If the collector does not accept them within a second, they are lost and that is logged.
pub async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let collector = exporter.collector.lock().await;
    let batch = mem::take(&mut *exporter.ended.lock().unwrap_or_else(PoisonError::into_inner));
    let spans = batch.len();
    if spans == 0 {
        return;
    }
    match timeout(SEND_TIMEOUT, collector.export(batch)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, spans, "the collector took no spans"),
        Err(_) => tracing::warn!(spans, "the collector did not answer in time"),
    }
}

/// The HTTPS client as the exporter wants it.
#[derive(Debug)]
struct Client(https::Client);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.fetch(request, MAX_ANSWER).await
    }
}
