//! What the bodies of events and of downloads have in common: a source of pieces, which leaves the thread to others, and is
//! dropped at the end of the answer.

use axum::Error;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use hyper::body::Frame;
use std::task::{Context, Poll};

/// How many bytes a body yields in a row, while its client takes them all: about what a socket takes at once. With a thousand
/// such clients, the answer to a probe waits for a thousand times this.
const BURST: usize = 64 << 10;
/// What a piece counts at least, so that empty ones end, too.
const LEAST: usize = 512;

/// The pieces of a body.
pub struct Source<T> {
    /// `None` once it has ended or failed: what it holds is free then, even where the body is not dropped yet.
    pieces: Option<BoxStream<'static, Result<T, Error>>>,
    /// How many bytes the body has yielded since others had the thread.
    burst: usize,
}

impl<T> Source<T> {
    pub fn new(pieces: impl Stream<Item = Result<T, Error>> + Send + 'static) -> Self {
        let pieces = Some(pieces.boxed());
        Self { pieces, burst: 0 }
    }

    /// Whether it has ended, failed or been dropped.
    pub fn has_ended(&self) -> bool {
        self.pieces.is_none()
    }

    /// The next piece. Pending at the end of each burst, also where a piece is there.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        let Some(pieces) = &mut self.pieces else {
            return Poll::Ready(None);
        };
        if self.burst >= BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = pieces.poll_next_unpin(cx);
        match &next {
            Poll::Pending => self.burst = 0,
            Poll::Ready(None) => self.pieces = None,
            Poll::Ready(Some(_)) => {}
        }
        next
    }

    /// What the body yields next; anything but bytes ends it.
    pub fn frame(&mut self, next: Option<Result<Bytes, Error>>) -> Option<Result<Frame<Bytes>, Error>> {
        match &next {
            Some(Ok(bytes)) => self.burst += bytes.len().max(LEAST),
            _ => self.pieces = None,
        }
        next.map(|piece| piece.map(Frame::data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::{future::poll_fn, iter::repeat_n};

    /// The bytes of each burst of such a source.
    async fn bursts(pieces: Vec<Bytes>) -> Vec<usize> {
        let mut source = Source::new(stream::iter(pieces.into_iter().map(Ok)));
        let mut bursts = vec![0];
        poll_fn(|cx| {
            while let Poll::Ready(next) = source.poll_next(cx) {
                let Some(Ok(frame)) = source.frame(next) else {
                    return Poll::Ready(());
                };
                *bursts.last_mut().unwrap() += frame.into_data().unwrap().len();
            }
            bursts.push(0);
            Poll::Pending
        })
        .await;
        bursts
    }

    #[tokio::test]
    async fn pieces_that_are_always_there_come_in_bursts_whatever_their_length() {
        const KIB: usize = 1 << 10;
        for (piece, count, expected) in [
            (16 * KIB, 9, vec![64 * KIB, 64 * KIB, 16 * KIB]),
            (256 * KIB, 2, vec![256 * KIB, 256 * KIB, 0]),
            (40 * KIB, 3, vec![80 * KIB, 40 * KIB]),
            (0, 300, vec![0, 0, 0]),
            (1, 130, vec![128, 2]),
        ] {
            let piece = Bytes::from(vec![b'x'; piece]);
            let length = piece.len();
            assert_eq!(bursts(repeat_n(piece, count).collect()).await, expected, "{length}");
        }
    }

    #[tokio::test]
    async fn a_source_that_waits_begins_a_burst_afresh() {
        let pieces = stream::unfold(0, async |at| {
            tokio::task::yield_now().await;
            (at < 3).then(|| (Ok(Bytes::from(vec![0; BURST - 1])), at + 1))
        });
        let mut source = Source::new(pieces);
        let mut polls = 0;
        let mut seen = 0;
        poll_fn(|cx| {
            polls += 1;
            while let Poll::Ready(next) = source.poll_next(cx) {
                match source.frame(next) {
                    Some(_) => seen += 1,
                    None => return Poll::Ready(()),
                }
            }
            Poll::Pending
        })
        .await;
        assert_eq!(
            (seen, polls),
            (3, 5),
            "one wait before each piece, one before the end, and no other"
        );
    }
}
