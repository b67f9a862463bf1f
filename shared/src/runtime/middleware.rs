//! The innermost middleware: admits or refuses request bodies, answers OPTIONS, and turns a panic of a handler into an answer.
//! It also refuses to send an event stream of a function that does not stream: on Lambda it would arrive after its end.

#[cfg(feature = "callers")]
use super::gate;
use super::{errors, routes::Routes};
use crate::{
    body::Content,
    deadline::Deadline,
    problem::{self, Problem},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{self, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower::Service;

/// How long a client may take to end an empty body; the deadline's grace of 1 s comes on top.
const BODY_TIMEOUT: Duration = Duration::from_secs(9);

/// The routes. A panic of a handler is answered with [`problem::INTERNAL`].
#[derive(Clone)]
pub struct CatchPanic(pub Routes);

impl Service<Request<Body>> for CatchPanic {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let routes = self.0.clone();
        #[cfg(feature = "callers")]
        if let Some(gate) = routes.gate(&request) {
            return Box::pin(gate::answer(gate, request, routes));
        }
        admit(routes, request)
    }
}

/// Answers a request whose caller may call its route, if the route takes its content.
pub fn admit(routes: Routes, request: Request<Body>) -> BoxFuture<'static, Result<Response, Infallible>> {
    if request.body().is_end_stream() {
        return Box::pin(answer(routes, request));
    }
    let route = routes.find(request.method(), request.uri().path());
    match route.map(|route| route.content) {
        Some(Some(content)) => Box::pin(take_content(routes, request, content)),
        Some(None) => Box::pin(async {
            match refuse_content(request).await {
                Ok(request) => answer(routes, request).await,
                Err(problem) => Ok(problem.into_response()),
            }
        }),
        // An unknown path, a wrong method or OPTIONS: the answer depends on no content.
        None => Box::pin(answer(routes, request.map(|_unread| Body::empty()))),
    }
}

/// Once the body has failed, the error is its: the handler may have taken it for one of its own, or for a bug.
async fn take_content(routes: Routes, request: Request<Body>, content: Content) -> Result<Response, Infallible> {
    let (request, failure) = match content.admit(request) {
        Ok(admitted) => admitted,
        Err(problem) => return Ok(problem.into_response()),
    };
    let response = answer(routes, request).await?;
    let status = response.status();
    match failure.get() {
        Some(error) if status.is_client_error() || status.is_server_error() => Ok(Problem::from(error).into_response()),
        _ => Ok(response),
    }
}

async fn answer(mut routes: Routes, request: Request<Body>) -> Result<Response, Infallible> {
    let is_options = request.method() == Method::OPTIONS;
    if is_options && request.uri().path() == "*" {
        return Ok(options(HeaderValue::from_static("GET,HEAD,OPTIONS")));
    }
    let response = AssertUnwindSafe(routes.router.call(request)).catch_unwind();
    let mut response = response.await.unwrap_or_else(|_panic| {
        // The panic hook has logged the message and the place; this record has the request id.
        tracing::error!("a handler panicked");
        Ok(Problem::new(&problem::INTERNAL).into_response())
    })?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = with_options(response.headers().get(header::ALLOW))
    {
        if is_options {
            return Ok(options(allow));
        }
        response.headers_mut().insert(header::ALLOW, allow);
    }
    if !routes.streams && response.extensions().get::<Deadline>().is_some() {
        return Ok(Problem::internal("an event stream of a function that is not `streamed`").into_response());
    }
    Ok(errors::as_problem(response))
}

/// The answer to OPTIONS on a path that has no handler for it (RFC 9110, section 9.3.7).
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

/// A route that takes no body buffers none, and memory stays flat whatever a client sends. A body of unknown length may
/// still be empty (only a last chunk, an empty DATA frame or trailers), so it is read up to its first byte.
async fn refuse_content(request: Request<Body>) -> Result<Request<Body>, Problem> {
    let (parts, mut body) = request.into_parts();
    if body.size_hint().lower() > 0 || expects_continue(&parts.headers) {
        return Err(Problem::new(&problem::UNEXPECTED_BODY));
    }
    let deadline: Deadline = parts.extensions.get().cloned().unwrap_or_default();
    let is_empty = async {
        while let Some(frame) = body.frame().await {
            if !frame.is_ok_and(|frame| frame.data_ref().is_none_or(|data| data.is_empty())) {
                return false;
            }
        }
        true
    };
    let deadline = deadline.earlier(Instant::now() + BODY_TIMEOUT);
    match deadline.cut_off(is_empty).await {
        Some(true) => Ok(Request::from_parts(parts, Body::empty())),
        Some(false) => Err(Problem::new(&problem::UNEXPECTED_BODY)),
        None => Err(Problem::new(&problem::REQUEST_TIMEOUT)),
    }
}

/// Such a client has content, and waits for 100 to send it. A read would send 100 (RFC 9110, section 10.1.1).
fn expects_continue(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(header::EXPECT).iter();
    expected.any(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
