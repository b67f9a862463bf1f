//! The access log: a record of each request with its method, its route, the status, and how long it took, written when its
//! answer ends. Metrics are made of it.
//!
//! It has the path of the route, with `{parameters}`: what clients put there may be an id or a secret. For debugging,
//! `access=trace` adds the path of the request.

use super::{
    cold_start::{self, ColdStart},
    on_end::{self, OnEnd},
};
use crate::telemetry::{self, ACCESS, Context};
use axum::{
    Error,
    body::Body,
    http::{Method, Request, StatusCode},
    response::Response,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The route of a request whose path no route has.
const UNMATCHED: &str = "unmatched";

/// The record of one request, written on drop.
pub struct AccessLog {
    context: Arc<Context>,
    method: Method,
    /// The path of the request, where it is asked for.
    path: Option<Box<str>>,
    start: Instant,
    cold_start: Option<ColdStart>,
    status: Option<StatusCode>,
    /// The time to the head of the answer.
    latency: Option<Duration>,
    /// Whether the body of the answer failed.
    broken: bool,
    #[cfg(feature = "otel")]
    span: Option<telemetry::otlp::Recording>,
}

impl AccessLog {
    /// Starts the clock when a request arrives.
    pub fn begin<B>(request: &Request<B>, context: Context) -> Self {
        #[cfg(feature = "otel")]
        let (context, span) = telemetry::otlp::begin(context);
        let with_path = tracing::enabled!(target: ACCESS, tracing::Level::TRACE);
        Self {
            method: request.method().clone(),
            path: with_path.then(|| request.uri().path().into()),
            start: Instant::now(),
            cold_start: cold_start::of_request(&context),
            context: Arc::new(context),
            status: None,
            latency: None,
            broken: false,
            #[cfg(feature = "otel")]
            span,
        }
    }

    /// The ids that every log record of this request has.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Stops the clock when the body of the answer ends: now, if the body is complete.
    pub fn until_end_of(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        if !self.is_quiet() {
            self.latency = Some(self.start.elapsed());
        }
        if on_end::has_no_content(&self.method, response.status()) {
            return response.map(|_| Body::empty());
        }
        let length = on_end::content_length(response.headers());
        response.map(|body| on_end::attach(body, length, move || Box::new(self)))
    }

    /// Logged at `debug`: a thousand healthy probes a second would bury everything else.
    fn is_healthy_probe(&self) -> bool {
        self.context.is_probe() && self.status.is_some_and(|status| status.is_success())
    }

    /// Whether it leaves no record.
    fn is_quiet(&self) -> bool {
        self.is_healthy_probe() && !self.broken && !tracing::enabled!(target: ACCESS, tracing::Level::DEBUG)
    }

    /// Known methods only: a client may send any other, and metrics and spans are grouped by it.
    fn method(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            Method::CONNECT => "CONNECT",
            Method::TRACE => "TRACE",
            _ => "_OTHER",
        }
    }

    fn failed(&self) -> bool {
        self.broken || self.status.is_some_and(|status| status.is_server_error())
    }

    fn write(&self) {
        let (method, route) = (self.method(), self.context.route.unwrap_or(UNMATCHED));
        let (path, status) = (self.path.as_deref(), self.status.map(|status| status.as_u16()));
        let (latency_ms, duration_ms) = (self.latency.map(milliseconds), milliseconds(self.start.elapsed()));
        let errors = self.failed().then_some(1);
        let cold_starts = self.cold_start.as_ref().map(|_| 1);
        let init_ms = self.cold_start.as_ref().and_then(|start| start.init.map(milliseconds));
        #[cfg(feature = "callers")]
        let (issuer, subject_hash) = match self.context.caller.get() {
            Some(caller) => (Some(&*caller.issuer), Some(&*caller.subject_hash)),
            None => (None, None),
        };
        #[cfg(feature = "callers")]
        let (reason, token_issuer, clock_seconds) = match self.context.refusal.get() {
            Some(refusal) => (
                Some(refusal.reason),
                refusal.token_issuer.as_deref(),
                refusal.clock_seconds,
            ),
            None => (None, None, None),
        };
        macro_rules! event {
            ($level:ident, $message:literal $(, $field:ident)*) => {
                // In no span: whatever a handler has entered, it has nothing to add.
                tracing::$level!(
                    target: ACCESS,
                    parent: None,
                    method, route, path, status, latency_ms, duration_ms, errors, cold_starts, init_ms, $($field,)* $message
                )
            };
        }
        macro_rules! record {
            ($level:ident, $message:literal) => {{
                #[cfg(feature = "callers")]
                event!(
                    $level,
                    $message,
                    issuer,
                    subject_hash,
                    reason,
                    token_issuer,
                    clock_seconds
                );
                #[cfg(not(feature = "callers"))]
                event!($level, $message);
            }};
        }
        match status {
            None => record!(info, "the client left before its answer"),
            Some(_) if errors.is_some() => record!(warn, "answered"),
            Some(_) if self.is_healthy_probe() => record!(debug, "answered"),
            Some(_) => record!(info, "answered"),
        }
    }

    /// The span in the terms of the semantic conventions: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.
    #[cfg(feature = "otel")]
    fn end_span(&mut self) {
        use opentelemetry::{
            KeyValue,
            trace::{SpanKind, Status},
        };
        let Some(span) = self.span.take() else { return };
        let method = self.method();
        let name = match (method, self.context.route) {
            ("_OTHER", route) => join("HTTP", route),
            (method, route) => join(method, route),
        };
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        let route = self.context.route;
        attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
        // Without its parameters, as the convention wants it where they may be sensitive.
        let path = self.path.as_deref().or(route);
        attributes.extend(path.map(|path| KeyValue::new("url.path", path.to_owned())));
        let status = self.status.map(|status| i64::from(status.as_u16()));
        attributes.extend(status.map(|status| KeyValue::new("http.response.status_code", status)));
        let outcome = match status {
            None => Status::error("the client left before its answer"),
            Some(_) if self.broken => Status::error("the answer broke off"),
            Some(500..) => Status::error(""),
            Some(_) => Status::Unset,
        };
        span.end(name, SpanKind::Server, attributes, outcome);
    }
}

#[cfg(feature = "otel")]
fn join(method: &str, route: Option<&str>) -> String {
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl OnEnd for AccessLog {
    fn failed(&mut self, error: &Error) {
        self.broken = true;
        let (method, route) = (self.method(), self.context.route.unwrap_or(UNMATCHED));
        telemetry::in_context(Arc::clone(&self.context), || {
            tracing::error!(method, route, status = self.status.map(|status| status.as_u16()), %error, "an answer broke off: its body failed");
        });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if self.is_quiet() {
            return;
        }
        telemetry::in_context(Arc::clone(&self.context), || self.write());
        #[cfg(feature = "otel")]
        self.end_span();
    }
}
