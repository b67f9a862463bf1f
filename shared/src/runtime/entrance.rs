//! What happens to every request in every life: cross-origin access, ids, its lifetime, an answer even to a panic,
//! headers that keep browsers careful, and a line in the log.

use super::{access::Access, cors};
use crate::{
    lifetime::Lifetime,
    problem::Problem,
    telemetry::{self, Context, Trace},
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    panic::AssertUnwindSafe,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    task::{self, Poll},
    time::Duration,
};
use tokio::time::Instant;
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

/// How long a client may take to say that its request has no content, with a second of grace.
const BODY_TIMEOUT: Duration = Duration::from_secs(9);

/// The routes of a function, behind what every request passes. It is cloned for each; in a box, what few need costs nobody.
#[derive(Clone)]
pub struct Entrance(Either<Box<Cors<Guard>>, Guard>);

impl Entrance {
    /// Gives the paths and methods that no route has their problem, and pages of the configured origins access.
    pub fn new(router: Router, cors: &cors::Cors) -> Self {
        let guard = Guard(
            router
                .fallback(async || Problem::NotFound)
                .method_not_allowed_fallback(async || Problem::MethodNotAllowed),
        );
        Self(if cors.origins.is_empty() {
            Either::Right(guard)
        } else {
            Either::Left(Box::new(grant(cors).layer(guard)))
        })
    }

    /// Answers every request with the problem.
    pub fn refusing(problem: Problem) -> Self {
        let routes = Router::new().fallback(async move || problem);
        Self(Either::Right(Guard(routes)))
    }

    /// Answers one request. `invocation` is the platform's name for it.
    pub async fn answer(
        mut self,
        mut request: Request<Body>,
        invocation: Option<HeaderValue>,
        lifetime: Lifetime,
    ) -> Response {
        let id = presented_id(request.headers()).or_else(|| invocation.clone());
        let context = Context {
            request_id: id.unwrap_or_else(next_id),
            invocation,
            trace: Trace::from_headers(request.headers()),
        };
        let access = Access::begin(&request, context);
        request.extensions_mut().insert(lifetime);
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

/// The routes, with the refusal of bodies before, an answer to OPTIONS, and a net under panics.
#[derive(Clone)]
struct Guard(Router);

impl Service<Request<Body>> for Guard {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let router = self.0.clone();
        Box::pin(async {
            let mut request = request;
            if !request.body().is_end_stream() {
                // In a box, because few requests have one.
                request = match Box::pin(refuse_content(request)).await {
                    Ok(request) => request,
                    Err(problem) => return Ok(problem.into_response()),
                };
            }
            answer(router, request).await
        })
    }
}

async fn answer(mut router: Router, request: Request<Body>) -> Result<Response, Infallible> {
    let is_options = request.method() == Method::OPTIONS;
    if is_options && request.uri().path() == "*" {
        return Ok(options(HeaderValue::from_static("GET,HEAD,OPTIONS")));
    }
    let answer = AssertUnwindSafe(router.call(request)).catch_unwind();
    let mut response = answer.await.unwrap_or_else(|_panic| {
        // The panic hook has written what and where; this line tells which request.
        tracing::error!("a handler panicked");
        Ok(Problem::Internal.into_response())
    })?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = with_options(response.headers().get(header::ALLOW))
    {
        if is_options {
            return Ok(options(allow));
        }
        response.headers_mut().insert(header::ALLOW, allow);
    }
    Ok(response)
}

/// What a path that does not answer OPTIONS itself says to it (RFC 9110, section 9.3.7).
fn options(allow: HeaderValue) -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response()
}

fn with_options(allow: Option<&HeaderValue>) -> Option<HeaderValue> {
    let methods = allow?.to_str().ok()?;
    if methods.contains("OPTIONS") {
        return allow.cloned();
    }
    HeaderValue::try_from(format!("{methods},OPTIONS")).ok()
}

/// No route of the bundle takes a body, so none is read: memory stays flat whatever a client sends. Only its first bytes
/// tell a body from none where its length is not known: an empty chunked one, an empty DATA frame, trailers.
async fn refuse_content(request: Request<Body>) -> Result<Request<Body>, Problem> {
    let (parts, mut body) = request.into_parts();
    if body.size_hint().lower() > 0 {
        return Err(Problem::UnexpectedBody);
    }
    let patience = Lifetime {
        deadline: Some(Instant::now() + BODY_TIMEOUT),
        ..parts.extensions.get().cloned().unwrap_or_default()
    };
    let ends = async {
        while let Some(frame) = body.frame().await {
            if !frame.is_ok_and(|frame| frame.data_ref().is_none_or(|data| data.is_empty())) {
                return Err(Problem::UnexpectedBody);
            }
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ends = ends => ends?,
        () = patience.overdue() => return Err(Problem::RequestTimeout),
    }
    Ok(Request::from_parts(parts, Body::empty()))
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
