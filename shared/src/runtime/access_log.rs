//! The access log: a record of each request with its method, path, status and duration, written when its answer ends.

use super::on_end::{self, OnEnd};
use crate::telemetry::{self, Context};
use axum::{
    Error,
    body::Body,
    http::{Method, Request, StatusCode, Uri},
    response::Response,
};
use hyper::body::Body as _;
use std::{sync::Arc, time::Instant};

/// The record of one request, written on drop.
pub struct AccessLog {
    context: Arc<Context>,
    method: Method,
    uri: Uri,
    start: Instant,
    status: Option<StatusCode>,
    #[cfg(feature = "otel")]
    span: Option<telemetry::otlp::Span>,
}

impl AccessLog {
    /// Starts the clock when a request arrives.
    pub fn begin(request: &Request<Body>, context: Context) -> Self {
        #[cfg(feature = "otel")]
        let (context, span) = telemetry::otlp::begin(context);
        let begun = Self {
            context: Arc::new(context),
            method: request.method().clone(),
            uri: request.uri().clone(),
            start: Instant::now(),
            status: None,
            #[cfg(feature = "otel")]
            span,
        };
        // A body may take as long as a stream.
        if request.body().is_end_stream() {
            begun
        } else {
            begun.detached()
        }
    }

    /// The ids that every log record of this request has.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Stops the clock when the body of the answer ends: now, if the body is complete.
    pub fn until_end_of(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        if on_end::has_no_content(&self.method, response.status()) {
            return response.map(|_| Body::empty());
        }
        let length = on_end::content_length(response.headers());
        response.map(|body| on_end::attach(body, length, move || Box::new(self.detached())))
    }

    /// Copies the path: the original URI would keep the request's read buffer of 8 KB alive for as long as a stream lasts.
    fn detached(mut self) -> Self {
        self.uri = self.uri.path().parse().unwrap_or_default();
        self
    }

    /// Logged at `debug`: a thousand healthy probes a second would bury everything else.
    fn is_healthy_probe(&self) -> bool {
        let rest = self.uri.path().strip_prefix("/health");
        let is_probe = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        is_probe && self.status.is_some_and(|status| status.is_success())
    }

    fn write(&self) {
        let (method, path) = (self.method.as_str(), self.uri.path());
        let duration_ms = self.start.elapsed().as_micros() as f64 / 1000.0;
        let status = self.status.map(|status| status.as_u16());
        macro_rules! record {
            ($level:ident, $message:literal) => {
                tracing::$level!(target: "access", method, path, status, duration_ms, $message)
            };
        }
        match status {
            None => record!(info, "the client left before its answer"),
            Some(500..) => record!(warn, "answered"),
            Some(_) if self.is_healthy_probe() => record!(debug, "answered"),
            Some(_) => record!(info, "answered"),
        }
    }
}

impl OnEnd for AccessLog {
    fn failed(&mut self, error: &Error) {
        let (method, path) = (self.method.as_str(), self.uri.path());
        telemetry::in_context(Arc::clone(&self.context), || {
            tracing::error!(method, path, status = self.status.map(|status| status.as_u16()), %error, "an answer broke off: its body failed");
        });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if self.is_healthy_probe() && !tracing::enabled!(target: "access", tracing::Level::DEBUG) {
            return;
        }
        telemetry::in_context(Arc::clone(&self.context), || self.write());
        #[cfg(feature = "otel")]
        if let Some(span) = self.span.take() {
            span.end(&self.method, &self.uri, self.status);
        }
    }
}
