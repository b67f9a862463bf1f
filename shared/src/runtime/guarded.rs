//! A body that keeps something alive until it ends.

use axum::body::Body;
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// The body, with what `guard` makes dropped at its end: at once where it is in one piece, else when the stream is.
pub fn body<G: Send + Unpin + 'static>(body: Body, guard: impl FnOnce() -> G) -> Body {
    if body.size_hint().exact().is_some() {
        body
    } else {
        Body::new(Guarded { body, _guard: guard() })
    }
}

struct Guarded<G> {
    body: Body,
    _guard: G,
}

impl<G: Unpin> hyper::body::Body for Guarded<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
