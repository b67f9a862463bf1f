//! A stream, cut into parts, with its checksums.

use crate::storage::{Crc32c, Digest, Error, Kind, Sha256};
use axum::BoxError;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

/// Content below this size goes in one request; more in parts of it, up to 80 GB (10,000 parts).
pub const PART: usize = 8 << 20;

/// What was stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// In bytes.
    pub size: u64,
    /// The checksum of the content.
    pub sha256: Sha256,
    /// Identifies this content even after the key has other content: read it by [`Key::at`](crate::storage::Key::at).
    /// `None` in an S3 bucket without versions.
    pub version: Option<String>,
}

/// A stream cut into parts of one size, and its checksums.
pub struct Parts<S> {
    content: S,
    rest: Bytes,
    size: u64,
    digest: Digest,
}

impl<S, E> Parts<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<BoxError>,
{
    pub fn new(content: S) -> Self {
        Self {
            content,
            rest: Bytes::new(),
            size: 0,
            digest: Digest::default(),
        }
    }

    /// The next part: a full one, or the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut part = BytesMut::new();
        while part.len() < PART {
            if self.rest.is_empty() {
                match self.content.next().await {
                    Some(chunk) => self.rest = chunk.map_err(|error| Error::new(Kind::Body, error))?,
                    None => break,
                }
            }
            let taken = self.rest.split_to(self.rest.len().min(PART - part.len()));
            if part.is_empty() && taken.len() == PART {
                return Ok(Some(self.passed(taken)));
            }
            part.extend_from_slice(&taken);
        }
        if part.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.passed(part.freeze())))
    }

    fn passed(&mut self, part: Bytes) -> Bytes {
        self.digest.update(&part);
        self.size += part.len() as u64;
        part
    }

    /// Size and checksums of the content, which must have the SHA-256 that the caller expects.
    pub fn finish(self, expected: Option<Sha256>) -> Result<(Stored, Crc32c), Error> {
        let (sha256, crc32c) = self.digest.finish();
        if expected.is_some_and(|expected| expected != sha256) {
            return Err(Kind::Corrupt.into());
        }
        let stored = Stored {
            size: self.size,
            sha256,
            version: None,
        };
        Ok((stored, crc32c))
    }
}
