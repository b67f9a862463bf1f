//! A page as the body of an answer, in pieces: each is made when it is sent, so that they need the memory of one.

use super::memory::Permit;
use crate::{
    body::{joined, length, parts},
    media_type::Kind,
};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use shared::streams::{Page, Record};
use std::{
    convert::Infallible,
    iter::Peekable,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// How many bytes a piece has, at most. A record that has as many is a piece by itself, and is not copied.
const PIECE: usize = 64 << 10;

/// The body. It holds its permit of the memory for as long as somebody has a piece.
pub fn body(page: Arc<Page>, permit: Permit) -> Body {
    let kind = Kind::of(&page.head.content_type);
    let data = page.records.iter().map(|record| &record.data);
    let (left, permit) = (length(kind, data.clone()), Arc::new(permit));
    // Many small records, which are copied anyway, take more memory than their bytes for as long as a client takes.
    if page.records.len() * size_of::<Record>() > left {
        return permit.around(joined(kind, data)).into();
    }
    let records = (0..page.records.len()).map(move |index| page.records[index].data.clone());
    Body::new(PageBody {
        parts: parts(kind, records).peekable(),
        left,
        permit,
    })
}

struct PageBody<P: Iterator<Item = Bytes>> {
    parts: Peekable<P>,
    /// How many bytes are left.
    left: usize,
    permit: Arc<Permit>,
}

impl<P: Iterator<Item = Bytes>> PageBody<P> {
    fn piece(&mut self) -> Option<Bytes> {
        let first = self.parts.next()?;
        if first.len() >= PIECE {
            return Some(first);
        }
        let mut piece = Vec::with_capacity(self.left.min(PIECE));
        piece.extend_from_slice(&first);
        while let Some(part) = self.parts.next_if(|part| piece.len() + part.len() <= PIECE) {
            piece.extend_from_slice(&part);
        }
        Some(piece.into())
    }
}

impl<P: Iterator<Item = Bytes> + Unpin> hyper::body::Body for PageBody<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.piece();
        self.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(self.permit.around(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::memory::PageMemory;
    use http_body_util::BodyExt;
    use hyper::body::Body as _;
    use shared::streams::{Expiry, Head, Position, Record};

    fn page(content_type: &str, records: &[Bytes]) -> Arc<Page> {
        let position = Position { incarnation: 1, end: 0 };
        let record = |data: &Bytes| Record {
            position,
            data: data.clone(),
        };
        Arc::new(Page {
            head: Head {
                incarnation: 1,
                tail: position,
                content_type: content_type.to_owned(),
                closed: false,
                expiry: Expiry::Never,
            },
            begin: position,
            records: records.iter().map(record).collect(),
            next: position,
        })
    }

    async fn pieces(content_type: &str, records: &[Bytes]) -> Vec<Bytes> {
        let permit = PageMemory::new().try_acquire(0).unwrap();
        let mut body = body(page(content_type, records), permit);
        let (mut pieces, mut left) = (Vec::new(), body.size_hint().exact().unwrap());
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            left -= piece.len() as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
            pieces.push(piece);
        }
        assert!(left == 0 && body.is_end_stream());
        pieces
    }

    fn record(size: usize) -> Bytes {
        vec![b'1'; size].into()
    }

    #[tokio::test]
    async fn small_records_go_together_and_a_large_one_alone_in_its_memory() {
        let large = record(PIECE);
        let records = [
            record(PIECE - 1),
            record(1),
            record(1),
            large.clone(),
            record(PIECE / 2),
        ];
        let sent = pieces("text/plain", &records).await;
        let sizes: Vec<usize> = sent.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [PIECE, 1, PIECE, PIECE / 2]);
        assert_eq!(sent[2].as_ptr(), large.as_ptr());
    }

    #[tokio::test]
    async fn an_array_of_json_is_whole_wherever_it_is_divided() {
        for size in [1, 10, PIECE / 2, PIECE - 1, PIECE, PIECE + 1] {
            let records: Vec<Bytes> = (0..5).map(|_| record(size)).collect();
            let sent = pieces("application/json", &records).await;
            assert!(sent.iter().all(|piece| piece.len() <= PIECE.max(size)));
            let number = "1".repeat(size);
            assert_eq!(sent.concat(), format!("[{}]", [&*number; 5].join(",")).into_bytes());
        }
        assert_eq!(pieces("application/json", &[]).await, ["[]"]);
        assert!(pieces("text/plain", &[]).await.is_empty());
    }

    #[tokio::test]
    async fn the_memory_is_free_again_after_the_last_piece() {
        const BYTES: usize = 32 << 20;
        let memory = PageMemory::new();
        let permit = memory.try_acquire(BYTES).unwrap();
        let mut body = body(page("text/plain", &[record(PIECE), record(PIECE)]), permit);
        let _first = body.frame().await;
        let last = body.frame().await;
        drop(body);
        assert!(memory.try_acquire(BYTES).is_none());
        drop((_first, last));
        assert!(memory.try_acquire(BYTES).is_some());
    }
}
