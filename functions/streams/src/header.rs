//! The headers of the protocol (section 13.2).

use crate::problem::invalid_header;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shared::problem::Problem;
use std::str;

macro_rules! names {
    ($($constant:ident = $name:literal;)*) => {
        $(pub const $constant: HeaderName = HeaderName::from_static($name);)*
    };
}

names! {
    STREAM_CLOSED = "stream-closed";
    STREAM_CURSOR = "stream-cursor";
    STREAM_EXPIRES_AT = "stream-expires-at";
    STREAM_FORKED_FROM = "stream-forked-from";
    STREAM_FORK_OFFSET = "stream-fork-offset";
    STREAM_FORK_SUB_OFFSET = "stream-fork-sub-offset";
    STREAM_NEXT_OFFSET = "stream-next-offset";
    STREAM_SEQ = "stream-seq";
    STREAM_SSE_DATA_ENCODING = "stream-sse-data-encoding";
    STREAM_TTL = "stream-ttl";
    STREAM_UP_TO_DATE = "stream-up-to-date";
    PRODUCER_EPOCH = "producer-epoch";
    PRODUCER_EXPECTED_SEQ = "producer-expected-seq";
    PRODUCER_ID = "producer-id";
    PRODUCER_RECEIVED_SEQ = "producer-received-seq";
    PRODUCER_SEQ = "producer-seq";
    CROSS_ORIGIN_RESOURCE_POLICY = "cross-origin-resource-policy";
}

pub const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The text of a header, if it is sent.
///
/// # Errors
/// It is sent twice, or is not UTF-8.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid_header(name, "it is sent more than once"));
    }
    let text = str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| invalid_header(name, "it is not UTF-8"))
}

/// A whole number in decimal digits, without sign and leading zeros, up to `most`.
///
/// # Errors
/// It is anything else, or as [`text`].
pub fn number(headers: &HeaderMap, name: &HeaderName, most: u64) -> Result<Option<u64>, Problem> {
    let Some(text) = text(headers, name)? else {
        return Ok(None);
    };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = text.parse().ok().filter(|number| is_plain && *number <= most);
    let refused = || invalid_header(name, "it is not a whole number, or is too large");
    number.map(Some).ok_or_else(refused)
}

/// Whether a request closes its stream. Any other value than `true` means nothing (section 4.1).
pub fn closes(headers: &HeaderMap) -> bool {
    let value = headers.get(STREAM_CLOSED);
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// A header of text and numbers that this server has made or accepted.
pub fn value(text: impl ToString) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(STREAM_TTL, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_number_has_one_form() {
        for text in [
            "",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e3",
            " 1 x",
            "١",
            "11",
            "99999999999999999999999",
            "0x1",
        ] {
            let refused = number(&sent(&[text.as_bytes()]), &STREAM_TTL, 10).unwrap_err();
            assert_eq!(refused.slug(), Some("invalid-header"), "{text}");
        }
        for (text, expected) in [("0", 0), ("10", 10)] {
            assert_eq!(
                number(&sent(&[text.as_bytes()]), &STREAM_TTL, 10).unwrap(),
                Some(expected)
            );
        }
        assert_eq!(number(&HeaderMap::new(), &STREAM_TTL, 10).unwrap(), None);
    }

    #[test]
    fn only_true_closes() {
        for (text, expected) in [
            ("true", true),
            ("TRUE", true),
            ("false", false),
            ("1", false),
            ("", false),
            ("true,true", false),
        ] {
            let headers = HeaderMap::from_iter([(STREAM_CLOSED, HeaderValue::from_static(text))]);
            assert_eq!(closes(&headers), expected, "{text}");
        }
        assert!(!closes(&HeaderMap::new()));
    }

    #[test]
    fn a_header_that_is_sent_twice_or_is_not_utf_8_is_refused() {
        for headers in [sent(&[b"1", b"1"]), sent(&[b"\xff"])] {
            assert_eq!(text(&headers, &STREAM_TTL).unwrap_err().slug(), Some("invalid-header"));
        }
    }
}
