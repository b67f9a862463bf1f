//! What a request appends, in the form that is stored.

use crate::{json, media_type::Kind};
use bytes::Bytes;
use shared::{
    body::Buffered,
    problem::{MALFORMED_JSON, Problem},
};
use std::{borrow::Cow, iter};

/// The data of a body of this type: messages of JSON separated by commas, or the bytes as they are. Empty for an array without
/// messages. It is counted as its body, and is a part of it unless messages have white space between them.
///
/// # Errors
/// The type is JSON, and the body is not.
pub fn payload(content_type: &str, body: Buffered) -> Result<Bytes, Problem> {
    if Kind::of(content_type) != Kind::Json {
        return Ok(Bytes::from_owner(body));
    }
    let fragment = json::fragment(&body);
    let fragment =
        fragment.map_err(|error| Problem::new(&MALFORMED_JSON).detail(format!("The body is not JSON: {error}.")))?;
    Ok(match fragment {
        Cow::Owned(fragment) => Bytes::from_owner(body.replaced(fragment.into_bytes())),
        Cow::Borrowed(fragment) => {
            let begin = fragment.as_ptr() as usize - body.as_ptr() as usize;
            let range = begin..begin + fragment.len();
            Bytes::from_owner(body).slice(range)
        }
    })
}

/// A page of records of this kind, as one body.
pub fn joined<'a>(kind: Kind, records: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
    let mut page = Vec::with_capacity(length(kind, records.clone()));
    parts(kind, records.cloned()).for_each(|part| page.extend_from_slice(&part));
    page.into()
}

/// The length of the same, in bytes.
pub fn length<'a>(kind: Kind, records: impl ExactSizeIterator<Item = &'a Bytes>) -> usize {
    let around = if kind == Kind::Json {
        records.len().max(1) + 1
    } else {
        0
    };
    around + records.map(Bytes::len).sum::<usize>()
}

/// The same in parts: the records, and what an array of JSON has around them.
pub fn parts(kind: Kind, records: impl Iterator<Item = Bytes>) -> impl Iterator<Item = Bytes> {
    let [open, comma, close] = if kind == Kind::Json { ["[", ",", "]"] } else { [""; 3] }.map(Bytes::from);
    let separators = iter::once(Bytes::new()).chain(iter::repeat(comma));
    let records = separators
        .zip(records)
        .flat_map(|(separator, record)| [separator, record]);
    let parts = iter::once(open).chain(records).chain([close]);
    parts.filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{FromRequest, Request};

    #[test]
    fn a_page_of_json_is_an_array_and_any_other_is_its_bytes() {
        let records = ["1,2", "[3]"].map(Bytes::from);
        for (kind, records, expected) in [
            (Kind::Json, &records[..], "[1,2,[3]]"),
            (Kind::Text, &records, "1,2[3]"),
            (Kind::Json, &[], "[]"),
            (Kind::Bytes, &[], ""),
        ] {
            assert_eq!(joined(kind, records.iter()), expected);
            assert_eq!(length(kind, records.iter()), expected.len());
        }
    }

    async fn stored(content_type: &str, body: &'static str) -> Result<Bytes, Problem> {
        let body = Buffered::from_request(Request::new(body.into()), &()).await.unwrap();
        payload(content_type, body)
    }

    #[tokio::test]
    async fn json_is_checked_and_bytes_are_not() {
        let malformed = stored("application/json; charset=utf-8", "[").await;
        assert_eq!(malformed.unwrap_err().slug(), Some("malformed-json"));
        assert_eq!(stored("application/json", " [1, 2]").await.unwrap(), "1,2");
        assert_eq!(stored("application/json", "[]").await.unwrap(), "");
        assert_eq!(stored("text/plain", "[").await.unwrap(), "[");
    }

    /// An append may wait for its stream with its body in memory, of which only one copy is counted.
    #[tokio::test]
    async fn data_is_a_part_of_its_body() {
        for (content_type, sent, at) in [
            ("text/plain", "data", 0),
            ("application/json", " {\"a\": 1}\n", 1),
            ("application/json", " [1,{\"a\": 2}] ", 2),
        ] {
            let body = Buffered::from_request(Request::new(sent.into()), &()).await.unwrap();
            let begin = body.as_ptr() as usize;
            let data = payload(content_type, body).unwrap();
            assert_eq!(data.as_ptr() as usize - begin, at, "{sent}");
        }
    }
}
