//! What happens to every request in every life: an id, its lifetime, and an answer even to a panic.

use crate::{lifetime::Lifetime, problem::Problem, telemetry};
use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue, Request},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use hyper::body::Body as _;
use std::{
    hash::{BuildHasher, RandomState},
    panic::AssertUnwindSafe,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tower::Service;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the paths and methods that no route has their problem.
pub fn complete(router: Router) -> Router {
    router
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
}

/// Answers one request. The id is the platform's where it has one.
pub async fn answer(
    mut router: Router,
    mut request: Request<Body>,
    id: Option<HeaderValue>,
    lifetime: Lifetime,
) -> Response {
    let id = id.unwrap_or_else(next_id);
    let mut response = if has_body(&request) {
        Problem::UnexpectedBody.into_response()
    } else {
        request.extensions_mut().insert(lifetime);
        let answer = AssertUnwindSafe(router.call(request)).catch_unwind();
        telemetry::with_request_id(id.clone(), async {
            match answer.await {
                Ok(Ok(response)) => response,
                Err(_panic) => {
                    // The panic hook has written what and where; this line tells which request.
                    tracing::error!("a handler panicked");
                    Problem::Internal.into_response()
                }
            }
        })
        .await
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// No route of the bundle takes a body, so none is read: memory stays flat whatever a client sends.
fn has_body(request: &Request<Body>) -> bool {
    !request.body().is_end_stream()
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
