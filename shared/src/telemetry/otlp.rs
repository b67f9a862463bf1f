//! Spans of requests and of functions, sent to a collector by OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! This module decides when a batch is sent: before Lambda freezes the process, every few seconds in a server, and at the end.
//! The SDK's batches are sent by a thread with a timer, and neither runs while a process is frozen.

mod recording;

use super::service_name;
use crate::{config::Env, https};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use std::{
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

pub use recording::{Recording, begin};

/// How long a collector may take to accept a batch, which is lost otherwise. On Lambda, this time is billed.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a server sends the spans that have ended. It sends them sooner if half of [`MAX_WAITING`] wait.
const PERIOD: Duration = Duration::from_secs(5);
/// How many spans may wait to be sent. More are dropped, so that memory stays bounded.
const MAX_WAITING: usize = 2048;
/// How many bytes they may have in their attributes.
const MAX_WAITING_SIZE: usize = 4 * 1024 * 1024;
/// The longest answer of a collector, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    collector: tokio::sync::Mutex<SpanExporter>,
    ended: Mutex<Ended>,
    many_wait: Notify,
}

/// The spans that wait to be sent.
#[derive(Default)]
struct Ended {
    spans: Vec<SpanData>,
    /// How many bytes their attributes have.
    size: usize,
    dropped: usize,
}

impl Exporter {
    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a span whose attributes have `size` bytes.
    fn queue(&self, span: SpanData, size: usize) {
        let mut ended = self.ended();
        if ended.spans.len() >= MAX_WAITING || ended.size + size > MAX_WAITING_SIZE {
            ended.dropped += 1;
            return;
        }
        ended.size += size;
        ended.spans.push(span);
        if ended.spans.len() == MAX_WAITING / 2 {
            self.many_wait.notify_one();
        }
    }
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
                many_wait: Notify::new(),
            });
        }
        Err(error) => tracing::error!(%error, "spans are not exported"),
    }
}

fn resource(env: &Env) -> Resource {
    Resource::builder().with_service_name(service_name(env)).build()
}

/// Calls [`flush`] every few seconds, forever.
pub async fn flush_periodically() {
    let Some(exporter) = EXPORTER.get() else { return };
    loop {
        tokio::select! {
            () = sleep(PERIOD) => {}
            () = exporter.many_wait.notified() => {}
        }
        flush().await;
    }
}

/// Sends the spans that have ended. If the collector does not accept them within a second, they are lost and that is logged.
pub async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let collector = exporter.collector.lock().await;
    let Ended {
        spans: batch, dropped, ..
    } = mem::take(&mut *exporter.ended());
    if dropped > 0 {
        tracing::warn!(dropped, "more spans have ended than may wait for the collector");
    }
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
