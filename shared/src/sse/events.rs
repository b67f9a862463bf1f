//! The body of an event stream, from its first byte to its end. It buffers nothing: each poll asks the source for one event.

use super::{Event, RETRY};
use crate::{deadline::Deadline, source::Source};
use axum::Error;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use hyper::body::Frame;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A comment, which clients ignore. Without a blank line, after which some clients see an empty event.
const KEEP_ALIVE: &[u8] = b":\n";

/// The events of a source, and a comment whenever there is none for a while.
pub struct Events {
    source: Source<Event>,
    keep_alive: Duration,
    opened: bool,
    silent_since: Instant,
    timer: Pin<Box<Sleep>>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Deadline,
}

impl Events {
    pub fn new(source: BoxStream<'static, Result<Event, Error>>, keep_alive: Duration, deadline: Deadline) -> Self {
        let now = Instant::now();
        Self {
            source: Source::new(source),
            keep_alive,
            opened: false,
            silent_since: now,
            timer: Box::pin(sleep_until(now)),
            drain: Box::pin(deadline.drained()),
            deadline,
        }
    }

    /// Compares times instead of polling the timer, which a source that is always ready would never let fire.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.source.has_ended() || (self.opened && self.deadline.has_come()) {
            return Poll::Ready(None);
        }
        let next = match self.source.poll_next(cx) {
            Poll::Ready(Some(event)) => Some(event.map(|event| self.framed(event))),
            Poll::Pending | Poll::Ready(None) if !self.opened => Some(Ok(self.framed(Event::default()))),
            Poll::Ready(None) => None,
            Poll::Pending => ready!(self.poll_silence(cx)),
        };
        self.silent_since = Instant::now();
        Poll::Ready(next)
    }

    /// `retry` is the beginning of the first event, because some clients take a block of its own for an empty event.
    fn framed(&mut self, event: Event) -> Bytes {
        if std::mem::replace(&mut self.opened, true) {
            return event.encode();
        }
        let retry = format!("retry: {}\n", RETRY.as_millis());
        [retry.as_bytes(), &event.encode()].concat().into()
    }

    /// Ready with a comment when the stream was silent for too long, and with the end when that comes.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        ready!(self.timer.as_mut().poll(cx));
        // Set again when it fires, not at each event: there are more of those.
        let due = self.deadline.cap(self.silent_since + self.keep_alive);
        if due > Instant::now() {
            self.timer.as_mut().reset(due);
            ready!(self.timer.as_mut().poll(cx));
        }
        let ended = self.deadline.has_come();
        Poll::Ready((!ended).then_some(Ok(Bytes::from_static(KEEP_ALIVE))))
    }
}

impl hyper::body::Body for Events {
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
    use futures_util::{FutureExt, Stream, StreamExt, stream};
    use http_body_util::BodyExt;
    use std::{io, sync::Arc};

    const INTERVAL: Duration = Duration::from_secs(15);

    fn events(source: impl Stream<Item = Result<Event, Error>> + Send + 'static, deadline: Deadline) -> Events {
        Events::new(source.boxed(), INTERVAL, deadline)
    }

    fn number(number: u32) -> Result<Event, Error> {
        Ok(Event::default().data(&number.to_string()))
    }

    /// The next frame as text; `None` at the end.
    async fn next(events: &mut Events) -> Option<String> {
        let bytes = events.frame().await?.unwrap().into_data().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Numbers from 1 on, each after a pause.
    fn every(pause: Duration) -> impl Stream<Item = Result<Event, Error>> {
        stream::unfold(1, move |at| async move {
            tokio::time::sleep(pause).await;
            Some((number(at), at + 1))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_opens_at_once_and_sends_a_comment_at_each_interval() {
        let start = Instant::now();
        let mut events = events(every(INTERVAL * 5 / 2), Deadline::default());
        let mut seen = Vec::new();
        for _ in 0..6 {
            let frame = next(&mut events).await.unwrap();
            seen.push((frame, start.elapsed().as_millis() / 100));
        }
        let expected = [
            ("retry: 2000\n", 0),
            (":\n", 150),
            (":\n", 300),
            ("data: 1\n\n", 375),
            (":\n", 525),
            (":\n", 675),
        ];
        assert_eq!(seen, expected.map(|(frame, at)| (frame.to_owned(), at)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_always_ready_starves_nobody_and_ends_at_the_deadline() {
        let endless = stream::repeat_with(|| number(7));
        let mut events = events(endless, Deadline::default().earlier(Instant::now() + INTERVAL));
        let reader = tokio::spawn(async move { while next(&mut events).await.is_some() {} });
        // One thread: if the stream never let go of it, this would never be polled.
        tokio::time::sleep(Duration::ZERO).await;
        assert!(!reader.is_finished());
        tokio::time::advance(INTERVAL).await;
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_asked_for_when_the_one_before_was_taken() {
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let source = stream::repeat_with(move || number(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        let mut events = events(source, Deadline::default());
        for taken in 1..=3 {
            next(&mut events).await.unwrap();
            tokio::time::advance(INTERVAL).await;
            assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_of_the_caller_ends_a_stream_between_two_events() {
        let start = Instant::now();
        let deadline = Deadline::default().earlier(start + INTERVAL * 2);
        let mut events = events(every(INTERVAL - Duration::from_secs(1)), deadline);
        let frames = ["retry: 2000\n", "data: 1\n\n", "data: 2\n\n"];
        for frame in frames {
            assert_eq!(next(&mut events).await.as_deref(), Some(frame));
        }
        assert_eq!(next(&mut events).await, None);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    /// A body may live on after its end. What the source holds must not.
    #[tokio::test(start_paused = true)]
    async fn the_source_is_dropped_as_soon_as_the_stream_ends_fails_or_is_over() {
        let held = Arc::new(());
        let holding = |held: &Arc<()>, source: BoxStream<'static, Result<Event, Error>>| {
            let held = Arc::clone(held);
            source.inspect(move |_| assert!(Arc::strong_count(&held) > 1))
        };
        let error = stream::iter([Err(Error::new(io::Error::other("it broke")))]).boxed();
        let mut failed = events(holding(&held, error), Deadline::default());
        assert!(failed.frame().await.unwrap().is_err());
        assert!(failed.frame().await.is_none());
        let mut over = events(holding(&held, stream::empty().boxed()), Deadline::default());
        assert_eq!(next(&mut over).await.as_deref(), Some("retry: 2000\n"));
        assert_eq!(next(&mut over).await, None);
        let deadline = Deadline::default().earlier(Instant::now() + INTERVAL / 2);
        let mut ended = events(holding(&held, stream::pending().boxed()), deadline);
        assert_eq!(next(&mut ended).await.as_deref(), Some("retry: 2000\n"));
        assert_eq!(Arc::strong_count(&held), 2, "nothing holds it: the test proves nothing");
        assert_eq!(next(&mut ended).await, None);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(ended.frame().now_or_never().is_some_and(|end| end.is_none()));
    }
}
