//! What a stream consists of: messages of JSON, text, or bytes (section 9).

use crate::{header, problem::invalid_header};
use axum::http::{HeaderMap, header::CONTENT_TYPE};
use shared::problem::Problem;

/// How the data of a stream is handled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `application/json`: a page is an array of messages.
    Json,
    /// `text/*`: events have it as it is.
    Text,
    /// Anything else: events have it as Base64.
    Bytes,
}

/// The type of a stream that is created without one.
pub const DEFAULT: &str = "application/octet-stream";

/// The longest type, in bytes.
const LONGEST: usize = 256;

impl Kind {
    /// Of a stream of this type.
    pub fn of(media_type: &str) -> Self {
        let essence = essence(media_type);
        if essence == "application/json" {
            Self::Json
        } else if essence.starts_with("text/") {
            Self::Text
        } else {
            Self::Bytes
        }
    }
}

/// A type without its parameters, in small letters: what two types are compared by.
pub fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// The type of a request's body, as it was sent.
///
/// # Errors
/// It is not one.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(media_type) = header::text(headers, &CONTENT_TYPE)? else {
        return Ok(None);
    };
    if media_type.len() > LONGEST || !is_media_type(&essence(media_type)) || !media_type.is_ascii() {
        return Err(invalid_header(&CONTENT_TYPE, "it is not a media type"));
    }
    Ok(Some(media_type))
}

/// `type/subtype`, of the letters of RFC 9110, section 5.6.2.
fn is_media_type(essence: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_letter);
    let parts = essence.split_once('/');
    parts.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_type_is_compared_without_case_and_parameters() {
        assert_eq!(essence("Text/Plain ; charset=UTF-8"), "text/plain");
        for (media_type, kind) in [
            ("Application/JSON; charset=utf-8", Kind::Json),
            ("application/ndjson", Kind::Bytes),
            ("application/merge-patch+json", Kind::Bytes),
            ("TEXT/event-stream", Kind::Text),
            ("textual/plain", Kind::Bytes),
            (DEFAULT, Kind::Bytes),
        ] {
            assert_eq!(Kind::of(media_type), kind, "{media_type}");
        }
    }

    #[test]
    fn what_is_not_a_type_is_refused() {
        let sent = |text: &[u8]| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_bytes(text).unwrap())]);
        let long = format!("text/plain; a={}", "x".repeat(256));
        for text in [
            "",
            "text",
            "text/",
            "/plain",
            "text/pl ain",
            "te,xt/plain",
            "text/plain/x",
            "text/plain; a=\u{e9}",
            &long,
        ] {
            assert!(from_headers(&sent(text.as_bytes())).is_err(), "{text}");
        }
        let valid = "Application/vnd.log+json; a=\"b;c\"";
        assert_eq!(from_headers(&sent(valid.as_bytes())).unwrap(), Some(valid));
        assert_eq!(from_headers(&HeaderMap::new()).unwrap(), None);
    }
}
