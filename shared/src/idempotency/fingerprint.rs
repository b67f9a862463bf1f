//! What a request asks for, as a hash: two requests with the same key must have the same.

use axum::{
    Error,
    body::Body,
    http::{HeaderValue, header, request::Parts},
};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use ring::digest::{Context, SHA256};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll, ready},
};

/// SHA-256 of the caller, so that the table has no subject, and takes any.
#[cfg(feature = "callers")]
pub fn of_caller(caller: &crate::callers::Caller) -> String {
    let mut hash = Context::new(&SHA256);
    for part in [caller.issuer(), "\0", caller.subject()] {
        hash.update(part.as_bytes());
    }
    hash.finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// SHA-256 of the method, the path and the query, the media type and the body, byte by byte. It grows while the handler reads
/// the body, so that nothing is held in memory twice.
#[derive(Clone)]
pub struct Fingerprint(Arc<Mutex<State>>);

struct State {
    hash: Context,
    has_ended: bool,
}

impl Fingerprint {
    /// Of a request whose body is still to be read: from the body that is returned.
    pub fn of(parts: &Parts, body: Body) -> (Self, Body) {
        let mut hash = Context::new(&SHA256);
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let media_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        for part in [parts.method.as_str().as_bytes(), target.as_bytes(), media_type] {
            // With its length, so that no part can run into the next.
            hash.update(&part.len().to_be_bytes());
            hash.update(part);
        }
        let has_ended = body.is_end_stream();
        let fingerprint = Self(Arc::new(Mutex::new(State { hash, has_ended })));
        let body = Hashed {
            body,
            fingerprint: fingerprint.clone(),
        };
        (fingerprint, Body::new(body))
    }

    /// The hash; `None` while the body is not read to its end.
    pub fn finish(&self) -> Option<[u8; 32]> {
        let state = self.state();
        let hash = state.has_ended.then(|| state.hash.clone().finish())?;
        hash.as_ref().try_into().ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Hashed {
    body: Body,
    fingerprint: Fingerprint,
}

impl hyper::body::Body for Hashed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let mut state = self.fingerprint.state();
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            state.hash.update(data);
        }
        state.has_ended |= frame.is_none() || (matches!(frame, Some(Ok(_))) && self.body.is_end_stream());
        drop(state);
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
    use axum::http::Request;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;
    use std::{collections::HashSet, io};

    async fn of(method: &str, target: &str, media_type: &str, body: Body) -> Option<[u8; 32]> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", media_type);
        let (parts, body) = request.body(body).unwrap().into_parts();
        let (fingerprint, body) = Fingerprint::of(&parts, body);
        let _ = body.collect().await;
        fingerprint.finish()
    }

    #[tokio::test]
    async fn requests_that_ask_for_different_things_have_different_fingerprints() {
        let requests = [
            ("POST", "/", "", ""),
            ("PUT", "/", "", ""),
            ("POST", "/a", "", ""),
            ("POST", "/?a", "", ""),
            ("POST", "/", "a", ""),
            ("POST", "/", "", "a"),
            ("POST", "/", "", "ab"),
        ];
        let mut seen = HashSet::new();
        for (method, target, media_type, body) in requests {
            let fingerprint = of(method, target, media_type, body.into()).await.unwrap();
            assert!(seen.insert(fingerprint), "{method} {target} {media_type} {body}");
        }
    }

    #[tokio::test]
    async fn how_a_body_is_cut_into_pieces_makes_no_difference() {
        let pieces = stream::iter(["a", "", "bc"]).map(Ok::<_, io::Error>);
        let whole = of("POST", "/", "", "abc".into()).await;
        assert!(whole.is_some());
        assert_eq!(of("POST", "/", "", Body::from_stream(pieces)).await, whole);
        let authority = of("POST", "http://example.org/", "", "abc".into()).await;
        assert_eq!(authority, whole, "HTTP/2 sends more than the path");
    }

    #[tokio::test]
    async fn a_body_that_was_not_read_to_its_end_has_none() {
        let broken = stream::iter([Ok("a"), Err(io::Error::other("it broke"))]);
        assert_eq!(of("POST", "/", "", Body::from_stream(broken)).await, None);
        let (parts, body) = Request::new(Body::from("a")).into_parts();
        let (fingerprint, body) = Fingerprint::of(&parts, body);
        drop(body);
        assert_eq!(fingerprint.finish(), None);
        let (fingerprint, _) = Fingerprint::of(&parts, Body::empty());
        assert!(fingerprint.finish().is_some(), "there is nothing to read");
    }
}
