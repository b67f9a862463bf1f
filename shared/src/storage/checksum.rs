//! Checksums, computed while content passes: SHA-256, which is stored with an object, and CRC32C, which stores verify.

use base64::{Engine, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, str::FromStr};

/// The SHA-256 of an object's content (FIPS 180-4). Displayed and parsed in hexadecimal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The checksum of the whole content.
    pub fn of(content: &[u8]) -> Self {
        let mut digest = Digest::default();
        digest.update(content);
        digest.finish().0
    }

    /// The form in checksum headers: base64.
    pub(super) fn base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Sha256 {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(drop)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| D::Error::custom("64 hexadecimal digits"))
    }
}

/// CRC32C (RFC 3720, Castagnoli).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// The checksum of the whole content.
    pub fn of(content: &[u8]) -> Self {
        Self(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, content) as u32)
    }

    /// The form in checksum headers: base64 of the number in network byte order.
    pub(super) fn base64(self) -> String {
        BASE64_STANDARD.encode(self.0.to_be_bytes())
    }

    pub(super) fn from_base64(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        Some(Self(u32::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// Both checksums of the content that has passed so far.
pub(super) struct Digest {
    sha256: digest::Context,
    crc32c: crc_fast::Digest,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            sha256: digest::Context::new(&digest::SHA256),
            crc32c: crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi),
        }
    }
}

impl Digest {
    pub fn update(&mut self, content: &[u8]) {
        self.sha256.update(content);
        self.crc32c.update(content);
    }

    pub fn finish(self) -> (Sha256, Crc32c) {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        (Sha256(sha256), Crc32c(self.crc32c.finalize() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standards_come_out() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Sha256::of(b"abc")));
        assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));
        let base64 = Crc32c::of(b"123456789").base64();
        assert_eq!(Crc32c::from_base64(&base64), Some(Crc32c(0xe306_9283)));
    }

    #[test]
    fn text_that_is_not_a_sha_256_is_refused() {
        for text in ["", "ba78", &"g".repeat(64), &"ä".repeat(32), &"+1".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(()), "{text}");
        }
    }
}
