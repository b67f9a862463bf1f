//! Objects as the headers of S3 describe them.

use crate::storage::{Attributes, Key, Object, SHA256, UPLOAD};
use aws_sdk_s3::primitives::DateTime;
use std::{collections::HashMap, time::SystemTime};

pub fn metadata(attributes: &Attributes) -> HashMap<String, String> {
    let sha256 = attributes.sha256.map(|sha256| (SHA256.to_owned(), sha256.to_string()));
    sha256
        .into_iter()
        .chain([(UPLOAD.to_owned(), attributes.upload.clone())])
        .collect()
}

/// What the headers of an answer say about an object.
pub struct ObjectHeaders<'a> {
    pub version: Option<&'a str>,
    pub size: Option<i64>,
    pub etag: Option<&'a str>,
    pub modified: Option<&'a DateTime>,
    pub content_type: Option<&'a str>,
    pub metadata: Option<&'a HashMap<String, String>>,
}

impl ObjectHeaders<'_> {
    pub fn object(self, key: Key) -> Object {
        let value = |name| self.metadata.and_then(|all| all.get(name));
        Object {
            key,
            version: self.version.map(str::to_owned),
            size: self.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            etag: self.etag.map(str::to_owned),
            modified: time(self.modified),
            content_type: self.content_type.map(str::to_owned),
            sha256: value(SHA256).and_then(|text| text.parse().ok()),
            crc32c: None,
            upload: value(UPLOAD).cloned(),
        }
    }
}

/// The size of the whole object, from `bytes 0-0/123`.
pub fn whole(content_range: &str) -> Option<i64> {
    content_range.rsplit('/').next()?.parse().ok()
}

pub fn time(time: Option<&DateTime>) -> SystemTime {
    let time = time.and_then(|time| SystemTime::try_from(*time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
