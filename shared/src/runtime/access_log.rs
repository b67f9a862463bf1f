//! One line a request: what was asked, what was answered, how long it took. For a stream, until its end.

use super::on_end::{self, OnEnd};
use crate::telemetry::{self, Context};
use axum::{
    Error,
    body::Body,
    http::{Method, Request, StatusCode, Uri, header},
    response::Response,
};
use std::{sync::Arc, time::Instant};

/// A request that is not over. Dropping it writes its line.
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
    /// Begins with the arrival of a request.
    pub fn begin<B>(request: &Request<B>, context: Context) -> Self {
        #[cfg(feature = "otel")]
        let (context, span) = telemetry::otlp::begin(context);
        Self {
            context: Arc::new(context),
            method: request.method().clone(),
            uri: request.uri().clone(),
            start: Instant::now(),
            status: None,
            #[cfg(feature = "otel")]
            span,
        }
    }

    /// What the log records of this request name.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Ends with the answer, or with its body where that is not in one piece.
    pub fn until_end_of(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        // Their Content-Length is that of an answer to another request (RFC 9110, section 8.6).
        if self.method == Method::HEAD
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status())
        {
            return response.map(|_| Body::empty());
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        response.map(|body| on_end::attach(body, length, move || Box::new(self.detached())))
    }

    /// Without the request's own URI, which keeps the whole buffer alive that the request was read into: 8 KB.
    fn detached(mut self) -> Self {
        self.uri = self.uri.path().parse().unwrap_or_default();
        self
    }

    /// A probe that is fine: a thousand of them a second would bury everything else.
    fn is_fine_probe(&self) -> bool {
        let path = self.uri.path();
        let probe = path == "/health" || path.starts_with("/health/");
        probe && self.status.is_some_and(|status| status.is_success())
    }

    fn write(&self) {
        let (method, path) = (self.method.as_str(), self.uri.path());
        let duration_ms = self.start.elapsed().as_micros() as f64 / 1000.0;
        let status = self.status.map(|status| status.as_u16());
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(target: "access", method, path, status, duration_ms, $message)
            };
        }
        match status {
            None => line!(info, "the client left before its answer"),
            Some(500..) => line!(warn, "answered"),
            Some(_) if self.is_fine_probe() => line!(debug, "answered"),
            Some(_) => line!(info, "answered"),
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
        if self.is_fine_probe() && !tracing::enabled!(target: "access", tracing::Level::DEBUG) {
            return;
        }
        telemetry::in_context(Arc::clone(&self.context), || self.write());
        #[cfg(feature = "otel")]
        if let Some(span) = self.span.take() {
            span.end(&self.method, &self.uri, self.status);
        }
    }
}
