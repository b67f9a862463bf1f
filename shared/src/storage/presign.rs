//! Signed URLs: a client's direct way to one object, for a while.

use super::{Attributes, Crc32c, Error, Key, Kind, ObjectId, Put, Sha256, Storage};
use crate::download::attachment;
use std::time::Duration;

/// The longest that both stores take: 7 days.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A request that a client without credentials may make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Presigned {
    /// `GET` or `PUT`
    pub method: String,
    /// The URL. The query has the signature, so the URL is a secret until it expires.
    pub url: String,
    /// The client must send exactly these: they are signed too.
    pub headers: Vec<(String, String)>,
}

/// What a client may put.
#[derive(Clone, Debug)]
pub struct SignPut {
    /// 1 s to 7 days.
    pub lifetime: Duration,
    /// The only size that is accepted, in bytes.
    pub length: u64,
    /// The only content type that is accepted.
    pub content_type: Option<String>,
    /// S3 accepts only content with this checksum; GCS stores it with the object, and every read verifies it.
    pub sha256: Option<Sha256>,
    /// The store accepts only content with this checksum. S3 ignores it beside `sha256`.
    pub crc32c: Option<Crc32c>,
    /// Replace an object that is there.
    pub overwrite: bool,
}

impl Storage {
    /// A URL that downloads the object; as an attachment if `file_name` is set, which may be any text.
    ///
    /// # Errors
    /// `Unsupported` for a folder and memory; `Unauthenticated` where there is nothing to sign with. The object need
    /// not exist.
    pub async fn presign_get(
        &self,
        object: impl Into<ObjectId<'_>>,
        lifetime: Duration,
        file_name: Option<&str>,
    ) -> Result<Presigned, Error> {
        bounded(lifetime)?;
        let backend = self.backend().await?;
        let disposition = file_name.map(attachment);
        backend.sign_get(object.into(), lifetime, disposition).await
    }

    /// A URL that uploads the object, create-only unless `put.overwrite`.
    ///
    /// # Errors
    /// As [`Storage::presign_get`].
    pub async fn presign_put(&self, key: &Key, put: &SignPut) -> Result<Presigned, Error> {
        bounded(put.lifetime)?;
        let attributes = Attributes::new(&Put {
            overwrite: put.overwrite,
            content_type: put.content_type.clone(),
            sha256: put.sha256,
        })?;
        self.backend().await?.sign_put(key, put, &attributes).await
    }
}

fn bounded(lifetime: Duration) -> Result<(), Error> {
    if (Duration::from_secs(1)..=LONGEST).contains(&lifetime) {
        Ok(())
    } else {
        Err(Error::new(
            Kind::Invalid,
            "a signed URL lives between 1 second and 7 days",
        ))
    }
}
