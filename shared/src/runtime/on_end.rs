//! Hooks on the end of a response body: dropped when the body ends, called first when it fails.

use axum::{
    Error,
    body::Body,
    http::{HeaderMap, Method, StatusCode, header},
};
use hyper::body::{Body as _, Bytes, Frame};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

/// Lives as long as a body: its `Drop` runs at the body's end.
pub trait OnEnd: Send {
    /// Called when the body fails: a part of the answer is missing.
    fn failed(&mut self, error: &Error);
}

/// The number of bytes that `Content-Length` promises.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the response to a request never has content: its `Content-Length` is the length of the answer to another request
/// then (RFC 9110, section 8.6).
pub fn has_no_content(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Wraps the body, so that `on_end` lives as long as it does. A body that is complete already is returned as it is.
///
/// The wrapped body does not panic, may be polled after its end, and fails if it is not as long as `length`, the promise of
/// its `Content-Length`. Its last promised bytes are held back until the body has ended: a client takes them for the
/// end of the answer, and would not see an error that follows them.
pub fn attach(mut body: Body, length: Option<u64>, on_end: impl FnOnce() -> Box<dyn OnEnd>) -> Body {
    if body.is_end_stream() && length.unwrap_or(0) == 0 {
        return body;
    }
    let early = match poll_sized(&mut body) {
        Some(Some(Ok(frame))) if body.is_end_stream() && length.is_none_or(|length| length == size(&frame)) => {
            return Body::from(frame.into_data().unwrap_or_default());
        }
        early => early.map(Box::new),
    };
    Body::new(Watched {
        body,
        early,
        left: length,
        last: None,
        on_end: Some(on_end()),
    })
}

type Next = Option<Result<Frame<Bytes>, Error>>;

struct Watched {
    body: Body,
    /// What [`attach`] polled. Boxed, because a stream has none.
    early: Option<Box<Next>>,
    /// How many promised bytes are still to come.
    left: Option<u64>,
    /// The last of the promised bytes, held back.
    last: Option<Box<Frame<Bytes>>>,
    /// `None` once the body has ended.
    on_end: Option<Box<dyn OnEnd>>,
}

/// Polls a body of known size once: it is probably complete.
fn poll_sized(body: &mut Body) -> Option<Next> {
    body.size_hint().exact()?;
    match poll(body, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

fn poll(body: &mut Body, cx: &mut Context<'_>) -> Poll<Next> {
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
    polled.unwrap_or_else(|_panic| Poll::Ready(Some(Err(Error::new("the body panicked")))))
}

fn size(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

impl Watched {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self.early.take() {
            Some(early) => Poll::Ready(*early),
            None => poll(&mut self.body, cx),
        }
    }

    /// The frame, error or end to hand on after `next`; `None` if there is nothing to hand on yet.
    fn settle(&mut self, next: Next) -> Option<Next> {
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(self.fail(error)),
            None => return Some(self.end()),
        };
        let size = size(&frame);
        if frame.is_data() && size == 0 {
            return None;
        }
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(size) else {
                return Some(self.fail(Error::new("the body is longer than its Content-Length")));
            };
            *left = rest;
            if rest == 0 && frame.is_data() {
                self.last = Some(Box::new(frame));
                return None;
            }
        }
        Some(Some(Ok(frame)))
    }

    fn end(&mut self) -> Next {
        if let Some(last) = self.last.take() {
            self.early = Some(Box::new(None));
            return Some(Ok(*last));
        }
        if self.left.is_some_and(|left| left > 0) {
            return self.fail(Error::new("the body is shorter than its Content-Length"));
        }
        self.on_end = None;
        None
    }

    fn fail(&mut self, error: Error) -> Next {
        if let Some(mut on_end) = self.on_end.take() {
            on_end.failed(&error);
        }
        Some(Err(error))
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        while self.on_end.is_some() {
            let next = ready!(self.poll_next(cx));
            if let Some(next) = self.settle(next) {
                return Poll::Ready(next);
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.on_end.is_none()
    }
}
