//! The four backends behind one set of requests. A request is one attempt, without a deadline. An enum rather than a
//! trait object, so that the linker drops the requests that a binary never makes.

use super::{
    Attributes, Body, Error, Key, Kind, Location, Object, ObjectId, Page, Presigned, SENTINEL_KEY, Settings, SignPut,
    folder, gcs, memory, retry::retry, s3,
};
use crate::config::Unusable;
use bytes::Bytes;
use std::{ops::Range, time::Duration};

pub enum Backend {
    Gcs(gcs::Bucket),
    S3(s3::Bucket),
    Folder(folder::Bucket),
    Memory(memory::Bucket),
}

/// Makes one request of whichever backend it is.
macro_rules! on {
    ($backend:expr, $bucket:ident => $request:expr) => {
        match $backend {
            Backend::Gcs($bucket) => $request.await,
            Backend::S3($bucket) => $request.await,
            Backend::Folder($bucket) => $request.await,
            Backend::Memory($bucket) => $request.await,
        }
    };
}

impl Backend {
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        match settings.location.as_ref() {
            Err(Unusable::NotConfigured) => Err(Kind::NotConfigured.into()),
            Err(Unusable::Misconfigured(setting)) => Err(Error::new(Kind::Misconfigured, setting.to_string())),
            Ok(Location::Gcs(name)) => gcs::Bucket::new(name, settings).map(Self::Gcs),
            Ok(Location::S3(name)) => Ok(Self::S3(s3::Bucket::new(name, settings).await)),
            Ok(Location::Folder(path)) => Ok(Self::Folder(folder::Bucket::new(path.into()))),
            Ok(Location::Memory) => Ok(Self::Memory(memory::Bucket::default())),
        }
    }

    /// Reads the sentinel. If it is missing or empty, the bucket could be read all the same.
    pub async fn probe(&self) -> Result<(), Error> {
        let sentinel = Key::listed(SENTINEL_KEY);
        let read = match self {
            Self::Gcs(_) | Self::S3(_) => self.get((&sentinel).into(), Some(0..1), None).await.map(drop),
            Self::Folder(bucket) => bucket.probe().await,
            Self::Memory(_) => Ok(()),
        };
        match read {
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::InvalidRange) => Ok(()),
            read => read,
        }
    }

    /// Returns the version that was written.
    pub async fn put(
        &self,
        key: &Key,
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        on!(self, bucket => bucket.put(key, content, attributes, overwrite))
    }

    /// Fails with `PreconditionFailed` if the content has another ETag than `etag`.
    pub async fn get(
        &self,
        object: ObjectId<'_>,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<(Object, Body), Error> {
        on!(self, bucket => bucket.get(object, range, etag))
    }

    /// Reads if nothing is found: the answer to HEAD has no body that would tell a missing key from a missing bucket.
    pub async fn head(&self, object: ObjectId<'_>) -> Result<Object, Error> {
        match on!(self, bucket => bucket.head(object)) {
            Err(error) if error.kind == Kind::NotFound => {
                let read = self.get(object, Some(0..1), None).await;
                Err(read.err().unwrap_or(error))
            }
            headed => headed,
        }
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        on!(self, bucket => bucket.list(under, page, limit))
    }

    /// Deletes by version, which a hold prevents: without one, S3 and GCS would hide even a held object behind a
    /// marker. On S3, the version before then becomes current, and is deleted too; a newer one, put meanwhile, stays.
    pub async fn delete(&self, object: ObjectId<'_>) -> Result<(), Error> {
        if object.version.is_some() {
            return self.delete_version(object).await;
        }
        let mut current = self.head(object).await?;
        let newest = current.modified;
        loop {
            self.delete_version(current.id()).await?;
            if !matches!(self, Self::S3(_)) || current.version.is_none() {
                return Ok(());
            }
            current = match self.head(object).await {
                Ok(same) if same.version == current.version => {
                    return Err(Error::new(
                        Kind::Unreachable,
                        "a version that was deleted is still there",
                    ));
                }
                Ok(older) if older.modified <= newest => older,
                Err(error) if error.kind != Kind::NotFound => return Err(error),
                _ => return Ok(()),
            }
        }
    }

    async fn delete_version(&self, object: ObjectId<'_>) -> Result<(), Error> {
        on!(self, bucket => bucket.delete(object))
    }

    /// Copies, with retries: on S3 a copy is many requests, each with its own deadline. Returns the version that was
    /// written. `version` is the one that the caller named to find `from`: on S3, naming one needs another permission.
    pub async fn copy(
        &self,
        deadline: Duration,
        (from, version): (&Object, Option<&str>),
        to: &Key,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        match self {
            Self::Gcs(bucket) => retry(deadline, || bucket.copy(from, to, attributes, overwrite)).await,
            Self::S3(bucket) => bucket.copy((from, version), to, attributes, overwrite).await,
            Self::Folder(bucket) => bucket.copy(from, to, attributes, overwrite).await,
            Self::Memory(bucket) => bucket.copy(from, to, attributes, overwrite).await,
        }
    }

    /// Begins a multipart upload; returns its id.
    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        on!(self, bucket => bucket.begin(key))
    }

    /// How many parts may be under way at once.
    pub fn parts_in_flight(&self) -> usize {
        match self {
            Self::Gcs(_) | Self::S3(_) => 3,
            Self::Folder(_) | Self::Memory(_) => 1,
        }
    }

    /// Uploads a part, counted from 0; returns what `complete` needs to know of it.
    pub async fn part(&self, key: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        on!(self, bucket => bucket.part(key, upload, number, content))
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        on!(self, bucket => bucket.complete(key, upload, parts))
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        on!(self, bucket => bucket.abort(key, upload))
    }

    pub async fn sign_get(
        &self,
        object: ObjectId<'_>,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        match self {
            Self::Gcs(bucket) => bucket.sign_get(object, lifetime, disposition).await,
            Self::S3(bucket) => bucket.sign_get(object, lifetime, disposition).await,
            Self::Folder(_) | Self::Memory(_) => Err(Error::new(Kind::Unsupported, NO_URLS)),
        }
    }

    pub async fn sign_put(&self, key: &Key, put: &SignPut, attributes: &Attributes) -> Result<Presigned, Error> {
        match self {
            Self::Gcs(bucket) => bucket.sign_put(key, put, attributes).await,
            Self::S3(bucket) => bucket.sign_put(key, put, attributes).await,
            Self::Folder(_) | Self::Memory(_) => Err(Error::new(Kind::Unsupported, NO_URLS)),
        }
    }

    pub fn object_lock(&self) -> Result<&s3::Bucket, Error> {
        match self {
            Self::S3(bucket) => Ok(bucket),
            Self::Gcs(_) => Err(Error::new(
                Kind::Unsupported,
                "GCS has object holds in its JSON API alone: set them there, or use S3 with Object Lock",
            )),
            Self::Folder(_) | Self::Memory(_) => {
                Err(Error::new(Kind::Unsupported, "object holds need S3 with Object Lock"))
            }
        }
    }
}

const NO_URLS: &str = "a folder and memory have no URLs to sign: signed URLs need GCS or S3";
