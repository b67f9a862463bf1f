//! What a request appends, in the form that is stored.

use crate::{json, media_type::Kind};
use bytes::Bytes;
use shared::problem::{MALFORMED_JSON, Problem};

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
    let size = records.clone().map(|record| record.len() + 1).sum::<usize>() + 2;
    let mut page = Vec::with_capacity(size);
    let is_json = kind == Kind::Json;
    page.extend(is_json.then_some(b'['));
    for (index, record) in records.enumerate() {
        page.extend((is_json && index > 0).then_some(b','));
        page.extend_from_slice(record);
    }
    page.extend(is_json.then_some(b']'));
    page.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_json_is_an_array_and_any_other_is_its_bytes() {
        let records = ["1,2", "[3]"].map(Bytes::from);
        assert_eq!(joined(Kind::Json, records.iter()), "[1,2,[3]]");
        assert_eq!(joined(Kind::Text, records.iter()), "1,2[3]");
        assert_eq!(joined(Kind::Json, [].iter()), "[]");
        assert_eq!(joined(Kind::Bytes, [].iter()), "");
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
