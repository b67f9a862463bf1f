//! How much of a store's answer is read: content to its end, and anything else to a limit, because it is held in
//! memory.

use crate::https::{Client, Error};
use axum::BoxError;
use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::CONTENT_LENGTH,
};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The most that is read of an error, in bytes. Stores send less than 1 KiB; of a longer error, only the status counts.
const ERROR_LIMIT: u64 = 64 << 10;
/// The most that is read of any other answer in memory, in bytes: 1,000 escaped keys of 1,024 bytes each take 6 MB.
const TEXT_LIMIT: u64 = 8 << 20;

/// What a successful answer holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// The content of an object, of any size: the caller reads it in pieces.
    Content,
    /// A listing or a token: the SDKs collect it in memory.
    Text,
}

/// Sends a request. The body of the answer is bounded, unless it is content.
pub async fn send<B>(client: &Client, request: Request<B>, expect: Expect) -> Result<Response<Bounded>, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = client.send(request).await?;
    let (left, truncates) = match (response.status().is_success(), expect) {
        (false, _) => (ERROR_LIMIT, true),
        (true, Expect::Text) => (TEXT_LIMIT, false),
        (true, Expect::Content) => (u64::MAX, false),
    };
    if truncates {
        // The SDK would take the missing rest for a broken connection.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response.map(|body| Bounded { body, left, truncates }))
}

/// A body with a limit, at which it ends as if it were complete, or with an error.
pub struct Bounded {
    body: Incoming,
    left: u64,
    truncates: bool,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 && self.truncates {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end.map(|end| end.map_err(Into::into))),
        };
        let Ok(mut data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        if data.len() as u64 > self.left && !self.truncates {
            return Poll::Ready(Some(Err("the answer is longer than any that a store gives".into())));
        }
        data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Only content has a length: a caller that collects the rest would reserve what the store claims.
    fn size_hint(&self) -> SizeHint {
        match self.left {
            u64::MAX => self.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
