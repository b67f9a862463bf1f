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
use std::sync::Arc;
use std::{
    convert::Infallible,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tower::{Layer, Service, util::Either};
use tower_http::cors::Cors;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

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
            Either::Left(Box::new(cors.layer().layer(routes)))
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
            invocation,
            trace: Trace::from_headers(request.headers()),
            route: self.routes().template(request.uri().path()),
            ..Context::new(id.unwrap_or_else(next_id))
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
        for name in [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_HEADERS] {
            let value = request.headers().get(&name).cloned();
            preflight.headers_mut().extend(value.map(|value| (name, value)));
        }
        let mut response = cors.get_ref().clone().call(request).await?;
        for (name, value) in cors.call(preflight).await?.headers() {
            response.headers_mut().append(name, value.clone());
        }
        Ok(response)
    }
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
