//! How a response is posted: buffered or streamed. A client never takes a body that failed for a complete one.

use super::{
    event::Origin,
    response::ProxyResponse,
    runtime_api::{Answer, Failure, error_trailers},
};
use crate::{
    deadline::{Deadline, MARGIN},
    problem::{self, Problem},
    runtime::on_end::{content_length, has_no_content},
};
use axum::{
    BoxError, Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;

const BROKEN_BODY: Failure = Failure::new(
    "BrokenBody",
    "the body of the response failed; the function's log has the cause",
);

/// The largest body in the JSON of a response. The JSON may have 6 MB (6,291,556 bytes, says the platform's own error).
const MAX_BODY: usize = 6_000_000;

/// Buffers every response, so that a body that fails is answered with an error and not cut short. One that does not end
/// fails at the limit or a second before the platform's deadline.
pub fn in_one_piece(router: Router) -> Router {
    router.layer(from_fn(async |deadline: Deadline, request: Request, next: Next| {
        let method = request.method().clone();
        let response = next.run(request).await;
        // The middleware refuses an event stream, which might last as long as the invocation.
        if has_no_content(&method, response.status()) || response.extensions().get::<Deadline>().is_some() {
            return response;
        }
        let (parts, body) = response.into_parts();
        let length = content_length(&parts.headers);
        // Work is cut off a second after its deadline.
        let deadline = deadline.before(2 * MARGIN);
        let collected = deadline.cut_off(collect(body, length)).await;
        match collected.unwrap_or(Err("it did not end in time".into())) {
            Ok(body) => Response::from_parts(parts, body.into()),
            Err(error) => {
                tracing::error!(%error, "the body of a response failed");
                Problem::new(&problem::INTERNAL).into_response()
            }
        }
    }))
}

/// The whole body, if it is as long as promised and not larger than the platform takes.
async fn collect(body: Body, length: Option<u64>) -> Result<Bytes, BoxError> {
    const TOO_LARGE: &str = "larger than Lambda takes in one piece: 6 MB, in Base64 where it is not UTF-8";
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(TOO_LARGE.into());
    }
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(TOO_LARGE.into()),
        Err(error) => return Err(error),
    };
    if length.is_some_and(|length| length != body.len() as u64) {
        return Err("not as long as its Content-Length".into());
    }
    if fits(&body) { Ok(body) } else { Err(TOO_LARGE.into()) }
}

/// Whether the platform takes a body: what it does not take, it answers with an error of its own.
fn fits(body: &[u8]) -> bool {
    match std::str::from_utf8(body) {
        // An escape has up to six bytes for one.
        Ok(_) if body.len() < MAX_BODY / 6 => true,
        Ok(text) => serde_json::to_vec(text).is_ok_and(|json| json.len() <= MAX_BODY),
        Err(_) => body.len().div_ceil(3) * 4 <= MAX_BODY,
    }
}

/// The whole response in the JSON of its origin.
pub async fn buffered(origin: Origin, response: Response) -> Result<Answer, Failure> {
    let (parts, body) = response.into_parts();
    // [`in_one_piece`] has buffered it and answered its errors already.
    let body = body.collect().await.map_err(|_| BROKEN_BODY)?.to_bytes();
    let response = serde_json::to_vec(&ProxyResponse::new(origin, &parts, &body)).expect("text and numbers");
    Ok(Answer::Buffered(response.into()))
}

/// The status and headers as a JSON prelude, eight NULs, then the body as it comes, until `deadline`, or that of an event
/// stream.
pub fn streamed(response: Response, deadline: Deadline) -> Answer {
    let (mut parts, body) = response.into_parts();
    let deadline = parts.extensions.remove().unwrap_or(deadline.before(MARGIN));
    let prelude = serde_json::to_vec(&ProxyResponse::prelude(&parts)).expect("text and numbers");
    // Two chunks: cargo-lambda's emulator tells prelude and separator apart by that.
    let prelude = [Bytes::from(prelude), Bytes::from_static(&[0; 8])].map(Frame::data);
    let frames = stream::iter(prelude).chain(frames(body));
    let body = StreamBody::new(frames.map(Ok::<_, Infallible>)).boxed_unsync();
    Answer::Streamed { body, deadline }
}

/// The frames of a body. After a failure, which is in the log by then, come trailers that make the platform break the
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
