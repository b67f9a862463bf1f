//! A body with a limit on its size and on how long the client may take.

use super::{BodyError, Failure};
use axum::{Error, body::Body};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest silence of a client; also how long it may take before its rate counts.
const SILENCE: Duration = Duration::from_secs(10);
/// The least that a client has to send, in bytes a second.
const MIN_RATE: u32 = 500;

pub struct Limited {
    body: Body,
    limit: u64,
    left: u64,
    wait: Wait,
    failure: Failure,
}

/// How long the handler has waited for the client. The time for which the client waited for the handler does not count.
#[derive(Default)]
struct Wait {
    since: Option<Instant>,
    before: Duration,
    /// Exists once the client has kept the handler waiting.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Limited {
    pub fn new(body: Body, limit: u64, failure: Failure) -> Self {
        Self {
            body,
            limit,
            left: limit,
            wait: Wait::default(),
            failure,
        }
    }

    fn take(&mut self, size: u64) -> Result<(), BodyError> {
        if size > 0 {
            self.wait.end();
        }
        self.left = self.left.checked_sub(size).ok_or(BodyError::TooLarge(self.limit))?;
        Ok(())
    }

    /// The rest is dropped, so that the connection sees that nobody will read it.
    fn fail(&mut self, error: BodyError) -> Error {
        self.body = Body::empty();
        let _ = self.failure.0.set(error);
        Error::new(error)
    }
}

impl hyper::body::Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => frame.map_err(|_| BodyError::Broken),
            Poll::Pending => {
                let received = this.limit - this.left;
                ready!(this.wait.poll_too_long(cx, received));
                Err(BodyError::TooSlow)
            }
        };
        let size = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, Bytes::len) as u64;
        let frame = frame.and_then(|frame| this.take(size(&frame)).map(|()| frame));
        Poll::Ready(Some(frame.map_err(|error| this.fail(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Wait {
    /// Ready when the client has been silent for too long, or has sent too little for the time it took.
    fn poll_too_long(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            let earned = Duration::from_secs(received) / MIN_RATE;
            let due = now + SILENCE.min((SILENCE + earned).saturating_sub(self.before));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(due),
                None => self.timer = Some(Box::pin(sleep_until(due))),
            }
            self.since = Some(now);
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.before += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{Stream, StreamExt, stream};
    use http_body_util::BodyExt;
    use std::convert::Infallible;
    use tokio::time::sleep;

    /// What reading such a body ends with, and after how many seconds.
    async fn read(
        body: impl Stream<Item = &'static str> + Send + 'static,
        limit: u64,
    ) -> (Result<usize, BodyError>, u64) {
        let failure = Failure::default();
        let body = Body::from_stream(body.map(Ok::<_, Infallible>));
        let start = Instant::now();
        let read = Limited::new(body, limit, failure.clone()).collect().await;
        let read = read
            .map(|body| body.to_bytes().len())
            .map_err(|error| *error.into_inner().downcast().unwrap());
        assert_eq!(read.err(), failure.get());
        (read, start.elapsed().as_secs())
    }

    fn every(pause: Duration, size: usize) -> impl Stream<Item = &'static str> {
        let chunk: &str = Box::leak("x".repeat(size).into_boxed_str());
        stream::iter(0..100).then(move |_| async move {
            sleep(pause).await;
            chunk
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_as_large_as_its_limit_and_no_larger() {
        let body = || stream::iter(["12345", "", "67890"]);
        assert_eq!(read(body(), 10).await.0, Ok(10));
        assert_eq!(read(body(), 9).await.0, Err(BodyError::TooLarge(9)));
        let endless = body().chain(stream::pending());
        assert_eq!(read(endless, 9).await, (Err(BodyError::TooLarge(9)), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_of_ten_seconds_is_too_slow_and_so_is_a_trickle() {
        let large = every(Duration::ZERO, 100_000).take(1).chain(stream::pending());
        assert_eq!(read(large, 1 << 20).await, (Err(BodyError::TooSlow), 10));
        for trickle in [0, 1] {
            let body = every(Duration::from_secs(1), trickle);
            assert_eq!(read(body, 1 << 20).await, (Err(BodyError::TooSlow), 10), "{trickle}");
        }
        let steady = every(Duration::from_secs(9), 4_500);
        assert_eq!(read(steady, 1 << 20).await, (Ok(450_000), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_handler_takes_does_not_count() {
        let body = every(Duration::from_secs(1), 1).take(5).map(Ok::<_, Infallible>);
        let mut body = Limited::new(Body::from_stream(body), 10, Failure::default());
        while let Some(frame) = body.frame().await {
            frame.unwrap();
            sleep(Duration::from_secs(60)).await;
        }
    }
}
