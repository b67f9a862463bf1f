//! The body of a request, and whether it was read to its end.

use axum::{body::Body, http::Request};
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
