//! What a request asks for: a range of the content (RFC 9110, section 14), only content that it does not have yet, or only
//! that which it knows (section 13). Answers have no `Last-Modified`, so conditions on it are ignored, as section 13 has it.

use super::content::Content;
use crate::{
    deadline::{Deadline, MARGIN},
    problem::{self, Problem},
};
use axum::{
    BoxError, Error,
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
};
use futures_util::{Stream, StreamExt};
use http_range_header::{SyntacticallyCorrectRange as Spec, parse_range_header};
use std::{convert::Infallible, iter, ops::Range};
use tokio::time::Instant;

/// The headers of a request that choose what is sent, and when that has to end. An extractor that cannot fail.
#[derive(Clone, Debug, Default)]
pub struct DownloadRequest {
    is_head: bool,
    range: Option<Spec>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// When the content has to have ended.
    end: Option<Instant>,
    /// Empty where its value is not text.
    if_range: Option<String>,
}

/// What is sent of some content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selected {
    /// Nothing: the client has it.
    NotModified,
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
}

impl Selected {
    /// The bytes to send of content of `size` bytes.
    pub fn range(&self, size: u64) -> Range<u64> {
        match self {
            Self::NotModified => 0..0,
            Self::Whole => 0..size,
            Self::Part(range) => range.clone(),
        }
    }
}

impl DownloadRequest {
    /// What to send of content of `size` bytes with this entity tag, which has its quotes. More than one range, a unit
    /// that is not bytes, and a range that is not valid select all of it, as section 14.2 allows.
    ///
    /// # Errors
    /// [`problem::PRECONDITION_FAILED`]: the request is for other content.
    /// [`problem::RANGE_NOT_SATISFIABLE`]: the range has no byte of the content.
    pub fn select(&self, size: u64, etag: Option<&str>) -> Result<Selected, Problem> {
        self.check_match(etag)?;
        if self.if_none_match.as_ref().is_some_and(|known| has(known, etag)) {
            return Ok(Selected::NotModified);
        }
        let range = match self.range.filter(|_| self.continues(etag)) {
            None => return Ok(Selected::Whole),
            Some(Spec::FromStart(first)) => first..size,
            Some(Spec::Indexed(first, last)) => first..size.min(last.saturating_add(1)),
            Some(Spec::FromLast(length)) => size.saturating_sub(length)..size,
        };
        if range.is_empty() {
            let content_range = HeaderValue::try_from(format!("bytes */{size}")).expect("a number is a header value");
            return Err(Problem::new(&problem::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, content_range));
        }
        Ok(Selected::Part(range))
    }

    /// Whether all of the content is sent, whatever its size and entity tag.
    pub fn takes_all(&self) -> bool {
        !self.is_head && self.range.is_none() && self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether nothing of the content is sent: it need not be opened.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// A body that is read piece by piece, as the client takes it, and fails a second before the platform's deadline.
    pub fn content<T: Into<Bytes>, E: Into<BoxError> + 'static>(
        &self,
        pieces: impl Stream<Item = Result<T, E>> + Send + 'static,
    ) -> Body {
        let pieces = pieces.map(|piece| piece.map(Into::into).map_err(Error::new));
        Body::new(Content::new(pieces.boxed(), self.end))
    }

    /// `If-Match`, by strong comparison (section 13.1.1).
    pub(crate) fn check_match(&self, etag: Option<&str>) -> Result<(), Problem> {
        let is_current = |wanted: &String| {
            let mut strong = tags(wanted).filter(|(is_weak, _)| !is_weak);
            wanted.trim() == "*" || etag.is_some_and(|etag| strong.any(|(_, tag)| etag == format!("\"{tag}\"")))
        };
        let is_met = self.if_match.as_ref().is_none_or(is_current);
        is_met
            .then_some(())
            .ok_or_else(|| Problem::new(&problem::PRECONDITION_FAILED))
    }

    /// `If-Range`, by strong comparison. A date is never a match: then all of the content is right (section 13.1.5).
    fn continues(&self, etag: Option<&str>) -> bool {
        let is_current = |if_range: &String| etag == Some(if_range) && if_range.starts_with('"');
        self.if_range.as_ref().is_none_or(is_current)
    }
}

/// Whether the client has content with this entity tag, which has its quotes: `If-None-Match` (section 13.1.2).
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    list(headers, header::IF_NONE_MATCH).is_some_and(|known| has(&known, Some(etag)))
}

/// Whether `If-None-Match` has this entity tag, by weak comparison.
fn has(known: &str, etag: Option<&str>) -> bool {
    known.trim() == "*" || etag.is_some_and(|etag| tags(known).any(|(_, tag)| tag == opaque(etag)))
}

impl<S: Sync> FromRequestParts<S> for DownloadRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let left = parts.extensions.get().and_then(Deadline::left);
        Ok(Self {
            is_head: parts.method == Method::HEAD,
            range: range(&parts.method, &parts.headers),
            if_range: list(&parts.headers, header::IF_RANGE),
            if_match: list(&parts.headers, header::IF_MATCH),
            if_none_match: list(&parts.headers, header::IF_NONE_MATCH),
            end: left.map(|left| Instant::now() + left.saturating_sub(MARGIN)),
        })
    }
}

/// A single range, for GET: no other method has ranges (section 14.2).
fn range(method: &Method, headers: &HeaderMap) -> Option<Spec> {
    let text = list(headers, header::RANGE).filter(|_| method == Method::GET)?;
    let ranges = parse_range_header(&text).ok()?.into_ranges();
    <[Spec; 1]>::try_from(ranges).ok().map(|[range]| range)
}

/// All values of a header, as one list (section 5.3).
fn list(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Of each entity tag of a list, whether it is weak, and its opaque tag, which may have commas.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut parts = list.split('"');
    iter::from_fn(move || Some((parts.next()?.ends_with("W/"), parts.next()?)))
}

/// A tag without its quotes and without `W/`.
fn opaque(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// An entity tag as a header, if it is one (section 8.8.3).
pub fn entity_tag(etag: &str) -> Option<HeaderValue> {
    let tag = etag.strip_prefix("W/").unwrap_or(etag);
    let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_tag = tag.bytes().all(|c| c == b'!' || (b'#'..=b'~').contains(&c));
    is_tag.then(|| HeaderValue::from_str(etag).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const ETAG: Option<&str> = Some("\"v1\"");

    async fn extracted(method: Method, headers: &[(&str, &str)]) -> DownloadRequest {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let Ok(request) = DownloadRequest::from_request_parts(&mut parts, &()).await;
        request
    }

    async fn selected(size: u64, etag: Option<&str>, headers: &[(&str, &str)]) -> Result<Selected, u16> {
        let request = extracted(Method::GET, headers).await;
        let selected = request.select(size, etag);
        selected.map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn a_range_selects_its_bytes_or_all_or_none() {
        use Selected::{Part, Whole};
        for (range, expected) in [
            ("bytes=10-", Err(416)),
            ("bytes=10-20", Err(416)),
            ("bytes=-0", Err(416)),
            ("bytes=99999999999999999999999-", Err(416)),
            ("bytes=0-0", Ok(Part(0..1))),
            ("bytes=2-4", Ok(Part(2..5))),
            ("bytes=9-", Ok(Part(9..10))),
            ("bytes=9-18446744073709551615", Ok(Part(9..10))),
            ("bytes=-3", Ok(Part(7..10))),
            ("bytes=-11", Ok(Part(0..10))),
            ("Bytes=2-4", Ok(Part(2..5))),
            ("bytes=0-0,2-4", Ok(Whole)),
            ("bytes=4-2", Ok(Whole)),
            ("bytes=", Ok(Whole)),
            ("bytes=-", Ok(Whole)),
            ("bytes=--1", Ok(Whole)),
            ("bytes=a-b", Ok(Whole)),
            ("bytes 0-0", Ok(Whole)),
            ("items=0-0", Ok(Whole)),
            ("", Ok(Whole)),
        ] {
            assert_eq!(selected(10, ETAG, &[("range", range)]).await, expected, "{range:?}");
        }
        let twice = [("range", "bytes=0-0"), ("range", "bytes=2-4")];
        assert_eq!(selected(10, ETAG, &twice).await, Ok(Whole));
        assert_eq!(selected(0, ETAG, &[("range", "bytes=0-")]).await, Err(416));
        assert_eq!(selected(0, ETAG, &[("range", "bytes=-1")]).await, Err(416));
        let head = extracted(Method::HEAD, &[("range", "bytes=10-")]).await;
        assert_eq!(head.select(10, ETAG).unwrap(), Whole);
    }

    #[tokio::test]
    async fn a_range_counts_only_for_the_content_that_the_client_has() {
        let part = Ok(Selected::Part(2..10));
        for (etag, if_range, expected) in [
            (ETAG, "\"v1\"", &part),
            (ETAG, "\"v2\"", &Ok(Selected::Whole)),
            (ETAG, "v1", &Ok(Selected::Whole)),
            (Some("W/\"v1\""), "W/\"v1\"", &Ok(Selected::Whole)),
            (None, "\"v1\"", &Ok(Selected::Whole)),
            (ETAG, "Thu, 26 Nov 2026 12:00:00 GMT", &Ok(Selected::Whole)),
            (ETAG, "", &Ok(Selected::Whole)),
        ] {
            let headers = [("range", "bytes=2-"), ("if-range", if_range)];
            assert_eq!(&selected(10, etag, &headers).await, expected, "{etag:?} {if_range:?}");
        }
        // Beyond the end of other content is not an error.
        let headers = [("range", "bytes=20-"), ("if-range", "\"v2\"")];
        assert_eq!(selected(10, ETAG, &headers).await, Ok(Selected::Whole));
    }

    #[tokio::test]
    async fn content_that_the_client_has_is_not_sent_again_whatever_range_it_asks_for() {
        for (etag, known, is_known) in [
            (ETAG, "\"v2\"", false),
            (ETAG, "v1", false),
            (None, "\"v1\"", false),
            (ETAG, "\"v1\"", true),
            (ETAG, "W/\"v0\" , W/\"v1\"", true),
            (Some("W/\"v1\""), "\"v1\"", true),
            (Some("\"a,b\""), "\"c\",\"a,b\"", true),
            (None, "*", true),
        ] {
            let headers = [("if-none-match", known), ("range", "bytes=20-")];
            let expected = if is_known { Ok(Selected::NotModified) } else { Err(416) };
            assert_eq!(selected(10, etag, &headers).await, expected, "{etag:?} {known}");
        }
    }

    #[tokio::test]
    async fn a_request_for_other_content_than_there_is_gets_none_of_it() {
        for (etag, wanted, is_current) in [
            (ETAG, "\"v0\"", false),
            (ETAG, "v1", false),
            (ETAG, "", false),
            (ETAG, "W/\"v1\"", false),
            (ETAG, "\"v0\", W/\"v1\"", false),
            (Some("W/\"v1\""), "\"v1\"", false),
            (Some("W/\"v1\""), "W/\"v1\"", false),
            (None, "\"v1\"", false),
            (ETAG, "\"v1\"", true),
            (ETAG, "W/\"v1\" , \"v1\"", true),
            (Some("\"a,b\""), "\"c\",\"a,b\"", true),
            (None, " * ", true),
        ] {
            let part = [("if-match", wanted), ("range", "bytes=2-")];
            let expected = if is_current {
                Ok(Selected::Part(2..10))
            } else {
                Err(412)
            };
            assert_eq!(selected(10, etag, &part).await, expected, "{etag:?} {wanted}");
            // It counts before what the client has, and before the range (section 13.2.2).
            let others = [("if-match", wanted), ("if-none-match", "*"), ("range", "bytes=20-")];
            let expected = if is_current {
                Ok(Selected::NotModified)
            } else {
                Err(412)
            };
            assert_eq!(selected(10, etag, &others).await, expected, "{etag:?} {wanted}");
            let head = extracted(Method::HEAD, &part).await.select(10, etag);
            assert_eq!(head.is_ok(), is_current, "{etag:?} {wanted}");
        }
        let twice = [("if-match", "\"v0\""), ("if-match", "\"v1\"")];
        assert_eq!(selected(10, ETAG, &twice).await, Ok(Selected::Whole));
        let since = "Thu, 26 Nov 2026 12:00:00 GMT";
        for name in ["if-unmodified-since", "if-modified-since"] {
            assert_eq!(selected(10, ETAG, &[(name, since)]).await, Ok(Selected::Whole));
        }
    }

    #[test]
    fn a_tag_is_known_in_a_list_and_in_its_weak_form() {
        let sent = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            is_known(&headers, "\"1:-1:2\"")
        };
        for values in [&[][..], &["1:-1:2"], &["\"1:-1:2:c\""], &["W/\"x\", \"y\""], &[""]] {
            assert!(!sent(values), "{values:?}");
        }
        for values in [
            &["*"][..],
            &["W/\"1:-1:2\""],
            &["\"x\",\"1:-1:2\""],
            &["\"x\"", "\"1:-1:2\""],
        ] {
            assert!(sent(values), "{values:?}");
        }
    }

    #[test]
    fn a_text_is_an_entity_tag_or_left_out() {
        for (text, is_tag) in [
            ("v1", false),
            ("\"v 1\"", false),
            ("\"a\"b\"", false),
            ("\"\r\nx: y\"", false),
            ("w/\"v1\"", false),
            ("\"", false),
            ("\"\"", true),
            ("W/\"v1\"", true),
        ] {
            assert_eq!(entity_tag(text).is_some(), is_tag, "{text:?}");
        }
    }
}
