//! The body of a request, and whether it was read to its end.

use axum::{
    body::Body,
    http::{HeaderMap, Request, header},
};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Watches the body of a request. Costs nothing where there is none.
pub struct Reading(Option<Arc<AtomicBool>>);

/// Wraps the body of a request that has one.
pub fn watch(request: Request<Incoming>) -> (Request<Body>, Reading) {
    if request.body().is_end_stream() {
        return (request.map(Body::new), Reading(None));
    }
    let ended = Arc::new(AtomicBool::new(false));
    let reading = Reading(Some(Arc::clone(&ended)));
    (request.map(|body| Body::new(Watched { body, ended })), reading)
}

/// Whether a body arrives as it was sent. hyper reads `gzip, chunked` too, takes the chunks off, and leaves the rest coded. The
/// answer is 501 (RFC 9112, section 6.1).
pub fn is_decoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    is_chunked && codings.next().is_none()
}

impl Reading {
    /// Whether the body was dropped before its end: what is left of it stands before the next request of the connection.
    pub fn abandoned(self) -> bool {
        // Still held: whoever holds it may read on while the answer is written.
        let ended = self.0.and_then(Arc::into_inner);
        ended.is_some_and(|ended| !ended.into_inner())
    }
}

struct Watched {
    body: Incoming,
    ended: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.ended.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transfer_coding_but_one_chunked_leaves_a_body_coded() {
        for (codings, expected) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["identity, chunked"], false),
            (&["gzip;q=1,chunked"], false),
            (&[", chunked"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(header::TRANSFER_ENCODING, coding.parse().unwrap());
            }
            assert_eq!(is_decoded(&headers), expected, "{codings:?}");
        }
    }
}
