//! How a response leaves: in one piece, or as a stream. A body that fails reaches nobody as whole.

use super::{
    event::Origin,
    response::ProxyResponse,
    runtime_api::{Answer, Failure, error_trailers},
};
use crate::problem::Problem;
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header::CONTENT_LENGTH},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Collected, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;

const BROKEN_BODY: Failure = Failure::new(
    "BrokenBody",
    "the body of the response failed; the function's log has the cause",
);

/// The routes with every response in one piece, so that a body that fails is answered as an error and not as what was read
/// of it.
pub fn in_one_piece(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| {
        let has_content = request.method() != Method::HEAD;
        let (parts, body) = next.run(request).await.into_parts();
        let has_content = has_content && ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
        let promised = parts.headers.get(CONTENT_LENGTH).filter(|_| has_content);
        let promised: Option<usize> = promised.and_then(|length| length.to_str().ok()?.parse().ok());
        let error = match body.collect().await.map(Collected::to_bytes) {
            Ok(body) if promised.is_none_or(|length| length == body.len()) => {
                return Response::from_parts(parts, body.into());
            }
            Ok(_) => "not as long as its Content-Length".into(),
            Err(error) => error.into_inner(),
        };
        tracing::error!(%error, "the body of a response failed");
        Problem::Internal.into_response()
    }))
}

/// A response in the JSON of its origin.
pub async fn buffered(origin: Origin, response: Response) -> Result<Answer, Failure> {
    let (parts, body) = response.into_parts();
    // The routes answer in one piece already; anything else is not worth more than an invocation error.
    let body = body.collect().await.map_err(|_| BROKEN_BODY)?.to_bytes();
    let response = serde_json::to_vec(&ProxyResponse::new(origin, &parts, &body)).expect("text and numbers");
    Ok(Answer::Buffered(response.into()))
}

/// The status and headers as a JSON prelude, eight NULs, then the body as it comes.
pub fn streamed(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let prelude = serde_json::to_vec(&ProxyResponse::prelude(&parts)).expect("text and numbers");
    // Chunks of their own: cargo-lambda's emulator tells prelude and separator apart by that.
    let prelude = [Bytes::from(prelude), Bytes::from_static(&[0; 8])].map(Frame::data);
    let frames = stream::iter(prelude).chain(frames(body));
    Answer::Streamed(StreamBody::new(frames.map(Ok::<_, Infallible>)).boxed_unsync())
}

/// The frames of a body. One that fails, which is logged by then, ends with the trailers that let the platform break the
/// client's stream: an error as text would reach the client as content.
fn frames(body: Body) -> impl Stream<Item = Frame<Bytes>> + Send {
    stream::unfold(Some(body), async |body| {
        let mut body = body?;
        match body.frame().await? {
            Ok(frame) => Some((Frame::data(frame.into_data().unwrap_or_default()), Some(body))),
            Err(_) => Some((Frame::trailers(error_trailers(&BROKEN_BODY)), None)),
        }
    })
}
