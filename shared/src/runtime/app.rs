//! The routes of a function, and what surrounds every request in every life: its ids, its deadline, CORS, security headers
//! and a line in the access log.

use super::{Service as Function, access_log::AccessLog, cors, middleware::CatchPanic, routes::Routes};
use crate::{
    deadline::Deadline,
    problem::Problem,
    random,
    telemetry::{self, Context, Trace},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
    response::Response,
};
#[cfg(feature = "callers")]
use std::sync::{Arc, OnceLock};
use std::{
    convert::Infallible,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tower::{Layer, Service, util::Either};
use tower_http::cors::{Cors, CorsLayer};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Set unless the handler sets them: browsers must not guess the type of an answer, frame it, or let it load anything
/// (OWASP, "REST Security Cheat Sheet"). Browsers ignore `Strict-Transport-Security` without TLS.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// How long a browser may cache the answer to a preflight. Chromium allows two hours at most.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Cloned for each request; CORS is boxed so that functions without it copy one pointer.
#[derive(Clone)]
pub struct App(Either<Box<Cors<CatchPanic>>, CatchPanic>);

impl App {
    /// The routes of a function; pages of the configured origins get access.
    ///
    /// # Panics
    /// A route does not say who may call it.
    pub fn new(function: Function, cors: &cors::Cors) -> Self {
        Self::with_routes(function.declared().into_parts().0, cors)
    }

    #[cfg_attr(not(feature = "callers"), expect(unused_mut, reason = "only callers have cookies"))]
    pub(super) fn with_routes(mut routes: Routes, cors: &cors::Cors) -> Self {
        #[cfg(feature = "callers")]
        {
            routes.cors = Arc::new(cors.clone());
        }
        let routes = CatchPanic(routes);
        Self(if cors.origins.is_empty() {
            Either::Right(routes)
        } else {
            Either::Left(Box::new(grant(cors).layer(routes)))
        })
    }

    /// Answers every request with `problem`.
    pub fn refusing(problem: Problem) -> Self {
        Self(Either::Right(CatchPanic(Routes::refusing(problem))))
    }

    /// Answers one request. `invocation` is the platform's id of it; it becomes the request id unless the client sent one.
    pub async fn answer(
        mut self,
        mut request: Request<Body>,
        invocation: Option<HeaderValue>,
        deadline: Deadline,
    ) -> Response {
        let id = presented_id(request.headers()).or_else(|| invocation.clone());
        let context = Context {
            request_id: id.unwrap_or_else(next_id),
            invocation,
            trace: Trace::from_headers(request.headers()),
            route: self.routes().template(request.uri().path()),
            #[cfg(feature = "callers")]
            caller: OnceLock::new(),
            #[cfg(feature = "callers")]
            refusal: OnceLock::new(),
        };
        let access = AccessLog::begin(&request, context);
        request.extensions_mut().insert(deadline);
        let response = telemetry::with_context(access.context().clone(), self.route(request));
        let mut response = response.await.unwrap_or_else(|never| match never {});
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, access.context().request_id.clone());
        if let Some(trace) = &access.context().trace {
            headers.insert(TRACE_RESPONSE, trace.response());
        }
        for (name, value) in SECURITY_HEADERS {
            headers.entry(name).or_insert(value);
        }
        access.until_end_of(response)
    }

    fn routes(&self) -> &Routes {
        let CatchPanic(routes) = match &self.0 {
            Either::Left(cors) => cors.get_ref(),
            Either::Right(routes) => routes,
        };
        routes
    }

    /// The CORS layer answers every OPTIONS request itself, even on an unknown path. So the routes answer it, and the headers
    /// that the layer gives a preflight are added.
    async fn route(&mut self, request: Request<Body>) -> Result<Response, Infallible> {
        let Either::Left(cors) = &mut self.0 else {
            return self.0.call(request).await;
        };
        if request.method() != Method::OPTIONS {
            return cors.call(request).await;
        }
        let mut preflight = Request::new(Body::empty());
        *preflight.method_mut() = Method::OPTIONS;
        if let Some(origin) = request.headers().get(header::ORIGIN) {
            preflight.headers_mut().insert(header::ORIGIN, origin.clone());
        }
        let mut response = cors.get_ref().clone().call(request).await?;
        for (name, value) in cors.call(preflight).await?.headers() {
            response.headers_mut().append(name, value.clone());
        }
        Ok(response)
    }
}

/// Allows the configured origins, with credentials.
fn grant(cors: &cors::Cors) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(cors.origins.clone())
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::IF_RANGE,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("producer-epoch"),
            HeaderName::from_static("producer-id"),
            HeaderName::from_static("producer-seq"),
            HeaderName::from_static("stream-closed"),
            HeaderName::from_static("stream-expires-at"),
            HeaderName::from_static("stream-fork-offset"),
            HeaderName::from_static("stream-fork-sub-offset"),
            HeaderName::from_static("stream-forked-from"),
            HeaderName::from_static("stream-seq"),
            HeaderName::from_static("stream-ttl"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            REQUEST_ID,
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            #[cfg(feature = "callers")]
            header::WWW_AUTHENTICATE,
            HeaderName::from_static("idempotent-replayed"),
            HeaderName::from_static("producer-epoch"),
            HeaderName::from_static("producer-expected-seq"),
            HeaderName::from_static("producer-received-seq"),
            HeaderName::from_static("producer-seq"),
            HeaderName::from_static("stream-closed"),
            HeaderName::from_static("stream-cursor"),
            HeaderName::from_static("stream-expires-at"),
            HeaderName::from_static("stream-next-offset"),
            HeaderName::from_static("stream-sse-data-encoding"),
            HeaderName::from_static("stream-ttl"),
            HeaderName::from_static("stream-up-to-date"),
            REQUEST_ID,
            TRACE_RESPONSE,
        ])
        .max_age(PREFLIGHT_AGE)
}

/// The client's id of its request, if it is safe to log: 1 to 128 visible ASCII characters. Copied, because the original
/// would keep the request's read buffer alive.
fn presented_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let is_safe = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    is_safe.then(|| HeaderValue::from_bytes(id.as_bytes()).ok())?
}

/// Unique without a system call: 16 digits that are random for each process, and 8 of a counter.
fn next_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(random::u64);
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = u128::from(*PROCESS) << 32 | u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    let id: [u8; 24] = std::array::from_fn(|index| DIGITS[(number >> (92 - 4 * index)) as usize & 0xf]);
    HeaderValue::from_bytes(&id).expect("hexadecimal digits are a header value")
}
