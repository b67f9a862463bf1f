//! Paths of streams: the rules of object keys, so that a path means the same in a URL, in SQL and in a bucket.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de::Error};
use std::{fmt, str::FromStr};

/// Where streams are, in the path of a URL.
pub const PREFIX: &str = "/v1/stream/";
/// The first segment of paths that the protocol reserves (section 6).
const RESERVED: &str = "__ds";

/// The path of a stream: 1 to 1,024 bytes of UTF-8, segments separated by `/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamPath(String);

/// Why a string is not the path of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidPath {
    Length,
    EmptySegment,
    DotSegment,
    Control,
    Reserved,
    /// Not the path of a URL of this function.
    NotAStream,
}

impl StreamPath {
    /// The path in a URL's path, such as `/v1/stream/cases/42`.
    pub fn from_url_path(url_path: &str) -> Result<Self, InvalidPath> {
        let encoded = url_path.strip_prefix(PREFIX).ok_or(InvalidPath::NotAStream)?;
        let path = percent_decode_str(encoded).decode_utf8();
        path.map_err(|_| InvalidPath::NotAStream)?.parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, InvalidPath> {
        if !(1..=1024).contains(&path.len()) {
            return Err(InvalidPath::Length);
        }
        if path.chars().any(char::is_control) {
            return Err(InvalidPath::Control);
        }
        for segment in path.split('/') {
            match segment {
                "" => return Err(InvalidPath::EmptySegment),
                "." | ".." => return Err(InvalidPath::DotSegment),
                _ => {}
            }
        }
        if path.split('/').next() == Some(RESERVED) {
            return Err(InvalidPath::Reserved);
        }
        Ok(Self(path.to_owned()))
    }
}

impl<'de> Deserialize<'de> for StreamPath {
    fn deserialize<D: Deserializer<'de>>(path: D) -> Result<Self, D::Error> {
        let path = String::deserialize(path)?;
        path.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a path has 1 to 1,024 bytes",
            Self::EmptySegment => "a path has no empty segment, and ends in none",
            Self::DotSegment => "a path has no segment `.` or `..`",
            Self::Control => "a path has no control character",
            Self::Reserved => "paths below `__ds` are reserved",
            Self::NotAStream => "a stream is below /v1/stream/, in UTF-8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_a_bucket_or_a_proxy_would_read_otherwise_is_refused() {
        let long = "x".repeat(1025);
        for (path, why) in [
            ("", InvalidPath::Length),
            (&long, InvalidPath::Length),
            ("/a", InvalidPath::EmptySegment),
            ("a/", InvalidPath::EmptySegment),
            ("a//b", InvalidPath::EmptySegment),
            (".", InvalidPath::DotSegment),
            ("a/../b", InvalidPath::DotSegment),
            ("a\0b", InvalidPath::Control),
            ("a\u{85}b", InvalidPath::Control),
            ("a\r\nb", InvalidPath::Control),
            ("__ds", InvalidPath::Reserved),
            ("__ds/subscriptions/a", InvalidPath::Reserved),
        ] {
            assert_eq!(path.parse::<StreamPath>(), Err(why), "{path:?}");
        }
        for path in ["a", &long[1..], "cases/42/events", "a/__ds", "..a", "a b", "käse/🧀"] {
            assert_eq!(path.parse::<StreamPath>().unwrap().as_str(), path);
        }
    }

    #[test]
    fn the_source_of_a_fork_is_the_path_of_its_url() {
        for (url_path, path) in [
            ("/v1/stream/a/b", Ok("a/b")),
            ("/v1/stream/a%2Fb%20c", Ok("a/b c")),
            ("/v1/stream/%ff", Err(InvalidPath::NotAStream)),
            ("/v1/stream/", Err(InvalidPath::Length)),
            ("/v1/streams/a", Err(InvalidPath::NotAStream)),
            ("a/b", Err(InvalidPath::NotAStream)),
            ("https://example.com/v1/stream/a", Err(InvalidPath::NotAStream)),
            ("/v1/stream/a/%2e%2e/b", Err(InvalidPath::DotSegment)),
        ] {
            let parsed = StreamPath::from_url_path(url_path);
            assert_eq!(
                parsed.as_ref().map(StreamPath::as_str),
                path.as_ref().copied(),
                "{url_path}"
            );
        }
    }
}
