//! What a request appends, in the form that is stored.

use crate::{json, media_type::Kind};
use bytes::Bytes;
use shared::problem::{MALFORMED_JSON, Problem};
use std::iter;

/// The data of a body of this type: messages of JSON separated by commas, or the bytes as they are. Empty for an array without
/// messages.
///
/// # Errors
/// The type is JSON, and the body is not.
pub fn payload(content_type: &str, body: &[u8]) -> Result<Bytes, Problem> {
    if Kind::of(content_type) != Kind::Json {
        return Ok(Bytes::copy_from_slice(body));
    }
    let fragment = json::fragment(body);
    let fragment =
        fragment.map_err(|error| Problem::new(&MALFORMED_JSON).detail(format!("The body is not JSON: {error}.")))?;
    Ok(fragment.into())
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

    #[test]
    fn json_is_checked_and_bytes_are_not() {
        assert_eq!(
            payload("application/json; charset=utf-8", b"[").unwrap_err().slug(),
            Some("malformed-json")
        );
        assert_eq!(payload("application/json", b" [1, 2]").unwrap(), "1,2");
        assert_eq!(payload("text/plain", b"[").unwrap(), "[");
    }
}
