//! Between `object_store` and us: keys, attributes, objects, bodies and errors.

use super::{Attributes, Body, Crc32c, Error, Key, Kind, Object, error::causes};
use futures_util::{StreamExt, TryStreamExt};
use hyper::StatusCode;
use object_store::{
    Attribute, GetOptions, GetRange, GetResult, ObjectMeta,
    client::{HttpError, HttpErrorKind},
    path::Path,
};
use std::ops::Range;

/// The metadata that carries the SHA-256, in hexadecimal.
pub const SHA256: &str = "sha256";
/// The metadata that tells one put from another, so that a put that is repeated knows its own object.
pub const UPLOAD: &str = "pilotlight-upload";

pub fn path(key: &Key) -> Result<Path, Error> {
    Path::parse(key.as_str()).map_err(|error| Error::new(Kind::Other, error))
}

pub fn attributes(attributes: &Attributes) -> object_store::Attributes {
    let mut given = object_store::Attributes::new();
    given.insert(Attribute::Metadata(UPLOAD.into()), attributes.upload.clone().into());
    if let Some(sha256) = attributes.sha256 {
        given.insert(Attribute::Metadata(SHA256.into()), sha256.to_string().into());
    }
    if let Some(content_type) = &attributes.content_type {
        given.insert(Attribute::ContentType, content_type.clone().into());
    }
    given
}

pub fn options(range: Option<Range<u64>>, etag: Option<&str>) -> GetOptions {
    GetOptions {
        range: range.map(GetRange::Bounded),
        if_match: etag.map(str::to_owned),
        ..GetOptions::default()
    }
}

pub fn object(key: &Key, meta: &ObjectMeta) -> Object {
    Object {
        key: key.clone(),
        size: meta.size,
        etag: meta.e_tag.clone(),
        modified: meta.last_modified.into(),
        content_type: None,
        sha256: None,
        crc32c: None,
        upload: None,
    }
}

/// With what the answer tells beyond size and time.
pub fn described(key: &Key, result: &GetResult) -> Object {
    let attribute = |name: Attribute| result.attributes.get(&name).map(|value| value.to_string());
    Object {
        content_type: attribute(Attribute::ContentType),
        sha256: attribute(Attribute::Metadata(SHA256.into())).and_then(|text| text.parse().ok()),
        upload: attribute(Attribute::Metadata(UPLOAD.into())),
        crc32c: result.extensions.get::<Crc32c>().copied(),
        ..object(key, &result.meta)
    }
}

pub fn body(result: GetResult) -> Body {
    result.into_stream().map_err(|error| failure(error, None)).boxed()
}

/// The one place where errors of `object_store` meet the closed set. `status` is that of the answer, if there was one.
/// Only the body tells a missing key from a missing bucket:
/// <https://cloud.google.com/storage/docs/xml-api/reference-status>.
pub fn failure(error: object_store::Error, status: Option<StatusCode>) -> Error {
    use object_store::Error as Store;
    let chain = || causes(&error);
    let says = |text| chain().any(|error| error.to_string().contains(text));
    let kind = match &error {
        _ if says("NoSuchBucket") => Kind::BucketNotFound,
        Store::NotFound { .. } => Kind::NotFound,
        Store::AlreadyExists { .. } => Kind::AlreadyExists,
        Store::Precondition { .. } | Store::NotModified { .. } => Kind::PreconditionFailed,
        Store::PermissionDenied { .. } => Kind::Forbidden,
        Store::Unauthenticated { .. } => Kind::Unauthenticated,
        Store::NotSupported { .. } | Store::NotImplemented { .. } => Kind::Unsupported,
        // A revoked key, or no metadata server because this is not Google Cloud.
        _ if says(" token re") => Kind::Unauthenticated,
        _ if says("BadDigest") || says("InvalidDigest") => Kind::Corrupt,
        _ => match status.map(|status| status.as_u16()) {
            Some(401) => Kind::Unauthenticated,
            Some(403) => Kind::Forbidden,
            Some(416) => Kind::InvalidRange,
            Some(429) => Kind::Throttled,
            Some(408) => Kind::Timeout,
            Some(404) => Kind::NotFound,
            Some(500..600) => Kind::Unreachable,
            _ => match chain()
                .find_map(|error| error.downcast_ref::<HttpError>())
                .map(HttpError::kind)
            {
                Some(HttpErrorKind::Timeout) => Kind::Timeout,
                Some(_) => Kind::Unreachable,
                None => Kind::Other,
            },
        },
    };
    Error::new(kind, error)
}
