//! Spans of requests, sent to a collector by OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! A batch leaves when this process says so: before Lambda freezes it, every few seconds as a server, and at its end. The
//! SDK's own batches leave on a thread with a timer, neither of which runs while a process is frozen.

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

/// How long a collector may take over a batch, which is lost then: on Lambda, this is billed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a server sends what has ended.
const PERIOD: Duration = Duration::from_secs(5);
/// How many spans wait at most. Later ones are lost: memory comes first.
const MAX_WAITING: usize = 2048;
/// The longest answer of a collector, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    collector: tokio::sync::Mutex<SpanExporter>,
    ended: Mutex<Vec<SpanData>>,
}

/// Exports if `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. Everything else that the specification calls by a variable
/// (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`) is read by the exporter itself.
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

/// Named as the platform names the function, unless a variable of the specification names it.
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

/// The span of a request that is not over.
pub struct Span {
    own: Trace,
    parent: Option<Trace>,
    start: SystemTime,
}

/// Begins a span below the caller's, and lets the log name it. None where nothing is exported, or the caller does not
/// record its trace.
pub fn begin(context: Context) -> (Context, Option<Span>) {
    let parent = context.trace;
    if EXPORTER.get().is_none() || parent.is_some_and(|parent| !parent.sampled) {
        return (context, None);
    }
    let own = Trace {
        id: parent.map_or_else(|| random::u128().max(1), |parent| parent.id),
        span: random::u64().max(1),
        sampled: true,
    };
    let start = SystemTime::now();
    let trace = Some(own);
    (Context { trace, ..context }, Some(Span { own, parent, start }))
}

impl Span {
    /// Ends the span with the request's answer, or without one where the client left before it.
    pub fn end(self, method: &Method, uri: &Uri, status: Option<StatusCode>) {
        let Some(exporter) = EXPORTER.get() else { return };
        let mut ended = exporter.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() < MAX_WAITING {
            ended.push(self.written(method, uri, status));
        }
    }

    /// In the names of the semantic conventions: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.
    fn written(&self, method: &Method, uri: &Uri, status: Option<StatusCode>) -> SpanData {
        let (method, path) = (method.as_str(), uri.path());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.path", path.to_owned()),
        ];
        attributes.extend(status.map(|code| KeyValue::new("http.response.status_code", i64::from(code.as_u16()))));
        SpanData {
            span_context: SpanContext::new(
                self.own.id.into(),
                self.own.span.into(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: self.parent.map_or(0, |parent| parent.span).into(),
            parent_span_is_remote: self.parent.is_some(),
            span_kind: SpanKind::Server,
            // A path that no route has could be anything, and names no group of spans.
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

/// Sends every few seconds what has ended, for as long as it is polled.
pub async fn flush_periodically() {
    loop {
        sleep(PERIOD).await;
        flush().await;
    }
}

/// Sends what has ended. A collector that does not take it within a second costs these spans, and a line in the log.
pub async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let collector = exporter.collector.lock().await;
    let batch = mem::take(&mut *exporter.ended.lock().unwrap_or_else(PoisonError::into_inner));
    let spans = batch.len();
    if spans == 0 {
        return;
    }
    match timeout(PATIENCE, collector.export(batch)).await {
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
