//! An object without its content: what a store says about it, and what a put stores beside it.

use super::{Crc32c, Error, Key, Kind, ObjectId, Sha256};
use crate::random;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// An object without its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Identifies this content among all that the key ever has; `None` in listings, and in an S3 bucket without
    /// versions.
    pub version: Option<String>,
    /// In bytes.
    pub size: u64,
    /// The store's tag of this content.
    pub etag: Option<String>,
    /// When it was put.
    pub modified: SystemTime,
    /// The media type that it was put with; `None` in listings.
    pub content_type: Option<String>,
    /// The checksum of the content, stored by a put of this client; `None` in listings.
    pub sha256: Option<Sha256>,
    pub(super) crc32c: Option<Crc32c>,
    pub(super) upload: Option<String>,
}

impl Object {
    /// This version of the object, even after its key has another.
    pub fn id(&self) -> ObjectId<'_> {
        self.key.at(self.version.as_deref())
    }
}

/// A page of a listing, sorted by key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// At most as many as were asked for. A page may have fewer, or none, without being the last.
    pub objects: Vec<Object>,
    /// Asks for the next page; `None` on the last.
    pub next: Option<String>,
}

/// How to put an object.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// Replace an object that is there; otherwise the put is create-only.
    pub overwrite: bool,
    /// A media type (RFC 9110).
    pub content_type: Option<String>,
    /// The content must have this checksum.
    pub sha256: Option<Sha256>,
}

/// The metadata that carries the SHA-256, in hexadecimal.
pub(super) const SHA256: &str = "sha256";
/// The metadata that carries [`Attributes::upload`].
pub(super) const UPLOAD: &str = "pilotlight-upload";

/// What is stored beside the content of an object.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Attributes {
    pub content_type: Option<String>,
    pub sha256: Option<Sha256>,
    /// Unique per put: lets a retry recognise its own object.
    pub upload: String,
}

impl Attributes {
    pub fn new(put: &Put) -> Result<Self, Error> {
        let is_plain = |c: u8| c == b' ' || c.is_ascii_graphic();
        if put
            .content_type
            .as_ref()
            .is_some_and(|text| !text.bytes().all(is_plain))
        {
            return Err(Error::new(Kind::Invalid, "a content type is printable ASCII"));
        }
        let upload = uuid::Builder::from_random_bytes(random::u128().to_be_bytes());
        Ok(Self {
            content_type: put.content_type.clone(),
            sha256: put.sha256,
            upload: upload.into_uuid().to_string(),
        })
    }
}
