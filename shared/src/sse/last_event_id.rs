//! Where a client that comes back had got to.

use crate::problem::{self, Problem};
use axum::{
    extract::OptionalFromRequestParts,
    http::{HeaderName, request::Parts},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The id of the last event that the client has seen: the header `Last-Event-ID`, which a client sends when it reconnects
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header>). Any text may arrive.
///
/// An extractor, as `Option<LastEventId>`: a client that connects for the first time has none. A header that is sent
/// twice, or is not UTF-8, is answered with [`problem::MALFORMED`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastEventId(pub String);

impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        let malformed = |detail| Problem::new(&problem::MALFORMED).detail(detail);
        let mut values = parts.headers.get_all(LAST_EVENT_ID).iter();
        let (value, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(malformed("Last-Event-ID is sent more than once."));
        }
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let id = std::str::from_utf8(value.as_bytes());
        let id = id.map_err(|_| malformed("Last-Event-ID is not UTF-8."))?;
        Ok(Some(Self(id.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, Request};

    async fn extracted(values: &[&[u8]]) -> Result<Option<String>, u16> {
        let mut request = Request::new(());
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(LAST_EVENT_ID, value);
        }
        let (mut parts, ()) = request.into_parts();
        let id = <LastEventId as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        id.map(|id| id.map(|LastEventId(id)| id))
            .map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn an_id_is_text_or_refused_and_an_empty_one_is_none() {
        assert_eq!(extracted(&[b"7\xff"]).await, Err(400));
        assert_eq!(extracted(&[b"7", b"8"]).await, Err(400));
        assert_eq!(extracted(&[]).await, Ok(None));
        assert_eq!(extracted(&[b""]).await, Ok(None));
        let id = "0_7 \u{e9}\u{1f4ce}";
        assert_eq!(extracted(&[id.as_bytes()]).await, Ok(Some(id.to_owned())));
    }
}
