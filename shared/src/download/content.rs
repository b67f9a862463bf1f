//! The body of a download: pieces of content under a deadline.

use crate::source::Source;
use axum::Error;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use hyper::body::{Body, Frame};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Asks for a piece when the one before has been written.
pub struct Content {
    source: Source<Bytes>,
    /// `None`: nothing ends it early.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Content {
    pub fn new(pieces: BoxStream<'static, Result<Bytes, Error>>, end: Option<Instant>) -> Self {
        Self {
            source: Source::new(pieces),
            timer: end.map(|end| Box::pin(sleep_until(end))),
        }
    }

    /// Compares times instead of polling the timer, which content that is always there would never let fire.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let timer = self.timer.as_ref();
        if !self.source.has_ended() && timer.is_some_and(|timer| timer.deadline() <= Instant::now()) {
            return Poll::Ready(Some(Err(late())));
        }
        match (self.source.poll_next(cx), &mut self.timer) {
            (Poll::Pending, Some(timer)) => timer.as_mut().poll(cx).map(|()| Some(Err(late()))),
            (next, _) => next,
        }
    }
}

fn late() -> Error {
    Error::new("the content did not end before the deadline")
}

impl Body for Content {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = ready!(self.poll_next(cx));
        Poll::Ready(self.source.frame(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn content_that_does_not_end_fails_at_its_deadline_and_frees_what_it_holds() {
        for is_ready in [true, false] {
            let held = std::sync::Arc::new(());
            let source = std::sync::Arc::clone(&held);
            let pieces = stream::unfold(source, move |source| async move {
                if !is_ready {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
                Some((Ok(Bytes::new()), source))
            });
            let start = Instant::now();
            let mut content = Content::new(pieces.boxed(), Some(start + SECOND));
            let failed = tokio::spawn(async move {
                while content.frame().await.is_some_and(|frame| frame.is_ok()) {}
                content
            });
            tokio::task::yield_now().await;
            tokio::time::advance(SECOND * 2).await;
            let mut content = failed.await.unwrap();
            assert_eq!(std::sync::Arc::strong_count(&held), 1);
            assert!(content.frame().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn content_that_is_always_there_starves_nobody() {
        let mut content = Content::new(stream::repeat_with(|| Ok(Bytes::new())).boxed(), None);
        let reader = tokio::spawn(async move { while content.frame().await.is_some() {} });
        tokio::time::sleep(Duration::ZERO).await;
        assert!(!reader.is_finished());
        reader.abort();
    }
}
