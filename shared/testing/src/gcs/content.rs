//! Content and headers: what a request says about its content, and the checks of that.

use super::{XmlError, xml_error};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

/// The content type and the metadata of a request.
pub fn described(headers: &HeaderMap) -> HeaderMap {
    let describes = |name: &HeaderName| *name == header::CONTENT_TYPE || name.as_str().starts_with("x-goog-meta-");
    let described = headers.iter().filter(|(name, _)| describes(name));
    described.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Checks the content of a put against the checksum and the length range in the headers.
pub fn check_content(headers: &HeaderMap, content: &Bytes) -> Result<(), XmlError> {
    let value_of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let hash = format!("crc32c={}", BASE64_STANDARD.encode(crc32c(content).to_be_bytes()));
    if value_of("x-goog-hash").is_some_and(|value| value != hash) {
        return Err(xml_error(StatusCode::BAD_REQUEST, "BadDigest"));
    }
    let range = value_of("x-goog-content-length-range").and_then(|range| range.split_once(','));
    if range.is_some_and(|(least, most)| {
        let bound = |text: &str| text.parse::<usize>().ok();
        !(bound(least)..=bound(most)).contains(&Some(content.len()))
    }) {
        return Err(xml_error(StatusCode::BAD_REQUEST, "EntityTooLarge"));
    }
    Ok(())
}

/// Parses `bytes=0-9`: the first and the last byte, within the content.
pub fn within(range: &HeaderValue, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = last.parse().unwrap_or(usize::MAX).min(length.checked_sub(1)?);
    (first <= last).then_some((first, last))
}

/// The checksum of GCS.
pub fn crc32c(content: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, content) as u32
}

/// A header value from printable text.
pub fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("printable text")
}
