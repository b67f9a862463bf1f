//! Names of objects: what every backend accepts, and nothing that one of them would interpret.

use super::UPLOADS_PREFIX;
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The part of the bucket that belongs to this client: the sentinel, and unfinished uploads.
pub(super) const RESERVED: &str = ".pilotlight";

/// The name of an object: 1 to 1,024 bytes of UTF-8, segments separated by `/`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(String);

/// An object: the current one of a key, or one version of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ObjectId<'a> {
    /// Its name.
    pub key: &'a Key,
    /// S3's version id, GCS's generation; `None`: the current one.
    pub version: Option<&'a str>,
}

impl<'a> From<&'a Key> for ObjectId<'a> {
    fn from(key: &'a Key) -> Self {
        key.at(None)
    }
}

/// Why a string is not a valid key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing, or more than 1,024 bytes.
    #[error("a key has 1 to 1,024 bytes")]
    Length,
    /// Only white space, which the SDK of S3 treats as a missing key.
    #[error("a key has more than white space")]
    Blank,
    /// `/a`, `a/`, `a//b`.
    #[error("a key has no empty segment, and is not absolute")]
    EmptySegment,
    /// `.` or `..`.
    #[error("a key has no segment `.` or `..`")]
    DotSegment,
    /// C0, C1 or DEL.
    #[error("a key has no control character")]
    Control,
    /// Below `.pilotlight`.
    #[error("keys below `.pilotlight` are reserved")]
    Reserved,
}

impl Key {
    /// The key of an evidence file: `cases/{uuid}/files/{uuid}`. It contains no text from a client.
    pub fn evidence(case: Uuid, file: Uuid) -> Self {
        Self(format!("cases/{case}/files/{file}"))
    }

    /// The key of an unfinished upload.
    pub(super) fn unfinished(upload: &str) -> Self {
        Self(format!("{UPLOADS_PREFIX}{upload}"))
    }

    /// A name from a listing, which need not be a valid key: other programs put objects too.
    pub(super) fn listed(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// One version of the object, as [`Stored::version`](super::Stored::version) names it; `None`: the current one.
    pub fn at<'a>(&'a self, version: Option<&'a str>) -> ObjectId<'a> {
        ObjectId { key: self, version }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        if text.is_empty() || text.len() > 1024 {
            return Err(InvalidKey::Length);
        }
        if text.trim().is_empty() {
            return Err(InvalidKey::Blank);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidKey::Control);
        }
        let mut segments = text.split('/');
        if segments.clone().any(str::is_empty) {
            return Err(InvalidKey::EmptySegment);
        }
        if segments.clone().any(|segment| matches!(segment, "." | "..")) {
            return Err(InvalidKey::DotSegment);
        }
        if segments.next() == Some(RESERVED) {
            return Err(InvalidKey::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SENTINEL_KEY;

    #[test]
    fn text_that_a_backend_could_misread_is_not_a_key() {
        for (text, expected) in [
            ("", InvalidKey::Length),
            (&"a".repeat(1025), InvalidKey::Length),
            (&"ä".repeat(513), InvalidKey::Length),
            (" ", InvalidKey::Blank),
            ("\u{a0}\u{3000}", InvalidKey::Blank),
            ("/etc/passwd", InvalidKey::EmptySegment),
            ("a//b", InvalidKey::EmptySegment),
            ("a/", InvalidKey::EmptySegment),
            ("a/../b", InvalidKey::DotSegment),
            (".", InvalidKey::DotSegment),
            ("a\0b", InvalidKey::Control),
            ("a\r\nb", InvalidKey::Control),
            ("a\u{85}b", InvalidKey::Control),
            (SENTINEL_KEY, InvalidKey::Reserved),
            (&format!("{UPLOADS_PREFIX}1"), InvalidKey::Reserved),
        ] {
            assert_eq!(text.parse::<Key>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn any_other_text_is_a_key_and_stays_as_it_is() {
        for text in [
            "a",
            &"a".repeat(1024),
            "Beweis ä/日本語/🦀.pdf",
            "..a/.b/c..",
            "a b?c#d%20&e=f+g",
        ] {
            assert_eq!(text.parse::<Key>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn the_key_of_an_evidence_file_holds_two_ids_and_nothing_else() {
        let key = Key::evidence(Uuid::from_u128(1), Uuid::from_u128(2));
        let expected = "cases/00000000-0000-0000-0000-000000000001/files/00000000-0000-0000-0000-000000000002";
        assert_eq!(key.as_str(), expected);
        assert_eq!(expected.parse(), Ok(key));
    }
}
