//! What happens to every request in every life: cross-origin access, ids, its deadline, an answer even to a panic,
//! headers that keep browsers careful, and a line in the log.

use super::{access_log::AccessLog, cors, middleware::CatchPanic};
use crate::{
    deadline::Deadline,
    problem::Problem,
    telemetry::{self, Context, Trace},
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
    response::Response,
};
use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
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

/// For what a handler does not say otherwise: an answer is what its type says, no page may frame it, and it loads nothing
/// (OWASP, "REST Security Cheat Sheet"). Browsers heed the third over TLS only.
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

/// How long a browser may remember what a preflight was told; Chromium forgets after two hours.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The routes of a function, behind what every request passes. It is cloned for each; in a box, what few need costs nobody.
#[derive(Clone)]
pub struct App(Either<Box<Cors<CatchPanic>>, CatchPanic>);

impl App {
    /// Gives the paths and methods that no route has their problem, and pages of the configured origins access.
    pub fn new(router: Router, cors: &cors::Cors) -> Self {
        let routes = CatchPanic(
            router
                .fallback(async || Problem::NotFound)
                .method_not_allowed_fallback(async || Problem::MethodNotAllowed),
        );
        Self(if cors.origins.is_empty() {
            Either::Right(routes)
        } else {
            Either::Left(Box::new(grant(cors).layer(routes)))
        })
    }

    /// Answers every request with the problem.
    pub fn refusing(problem: Problem) -> Self {
        let routes = Router::new().fallback(async move || problem);
        Self(Either::Right(CatchPanic(routes)))
    }

    /// Answers one request. `invocation` is the platform's name for it.
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
        };
        let access = AccessLog::begin(&request, context);
        request.extensions_mut().insert(deadline);
        let answer = telemetry::with_context(access.context().clone(), self.route(request));
        let mut response = answer.await.unwrap_or_else(|never| match never {});
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

    /// The CORS layer answers every OPTIONS itself, that of a path which does not exist too: the routes are asked first.
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

/// Exact origins, with credentials.
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
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, TRACE_RESPONSE])
        .max_age(PREFLIGHT_AGE)
}

/// The id that the caller gave its request, if it is one to write into logs: 128 visible characters at most. A copy, because
/// the original keeps the buffer alive that the request was read into.
fn presented_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let written = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    written.then(|| HeaderValue::from_bytes(id.as_bytes()).ok())?
}

/// An id that no other process draws, and that costs no system call: a random half and a counter.
fn next_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = u128::from(*PROCESS) << 32 | u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    let id: [u8; 24] = std::array::from_fn(|index| DIGITS[(number >> (92 - 4 * index)) as usize & 0xf]);
    HeaderValue::from_bytes(&id).expect("hexadecimal digits are a header value")
}
