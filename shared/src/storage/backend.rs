//! The four kinds of bucket behind one set of requests: one attempt each, no deadline. An enum and no trait object, so
//! that a binary carries the requests that it makes and no others.

use super::{
    Attributes, Body, Error, Key, Kind, Object, Page, Presigned, SENTINEL_KEY, SignPut, gcs, local, retry::retry, s3,
};
use crate::config::{self, Location, Unusable};
use bytes::Bytes;
use std::{ops::Range, time::Duration};

pub enum Backend {
    Gcs(gcs::Bucket),
    S3(s3::Bucket),
    Local(local::Bucket),
}

impl Backend {
    pub async fn connect(settings: &config::Storage) -> Result<Self, Error> {
        match settings.location.as_ref() {
            Err(Unusable::NotConfigured) => Err(Kind::NotConfigured.into()),
            Err(Unusable::Misconfigured(setting)) => Err(Error::new(Kind::Misconfigured, setting.to_string())),
            Ok(Location::Gcs(name)) => gcs::Bucket::new(name, settings).map(Self::Gcs),
            Ok(Location::S3(name)) => Ok(Self::S3(s3::Bucket::new(name, settings).await)),
            Ok(Location::Folder(path)) => Ok(Self::Local(local::Bucket::new(Some(path.into())))),
            Ok(Location::Memory) => Ok(Self::Local(local::Bucket::new(None))),
        }
    }

    /// A missing sentinel, or one without a first byte, was looked up all the same.
    pub async fn probe(&self) -> Result<(), Error> {
        let sentinel = Key::listed(SENTINEL_KEY);
        let read = match self {
            Self::Gcs(bucket) => bucket.get(&sentinel, Some(0..1), None).await.map(drop),
            Self::S3(bucket) => bucket.get(&sentinel, Some(0..1), None).await.map(drop),
            Self::Local(bucket) => bucket.probe().await,
        };
        match read {
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::InvalidRange) => Ok(()),
            read => read,
        }
    }

    pub async fn put(&self, key: &Key, content: Bytes, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        match self {
            Self::Gcs(bucket) => bucket.put(key, content, given, overwrite).await,
            Self::S3(bucket) => bucket.put(key, content, given, overwrite).await,
            Self::Local(bucket) => bucket.put(key, content, given, overwrite).await,
        }
    }

    /// `etag`: of the one content that will do.
    pub async fn get(&self, key: &Key, range: Option<Range<u64>>, etag: Option<&str>) -> Result<(Object, Body), Error> {
        match self {
            Self::Gcs(bucket) => bucket.get(key, range, etag).await,
            Self::S3(bucket) => bucket.get(key, range, etag).await,
            Self::Local(bucket) => bucket.get(key, range, etag).await,
        }
    }

    /// The answer to HEAD has no body, and does not tell a missing key from a missing bucket: a read does.
    pub async fn head(&self, key: &Key) -> Result<Object, Error> {
        let headed = match self {
            Self::Gcs(bucket) => bucket.head(key).await,
            Self::S3(bucket) => bucket.head(key).await,
            Self::Local(bucket) => bucket.head(key).await,
        };
        match headed {
            Err(error) if error.kind == Kind::NotFound => {
                let read = self.get(key, Some(0..1), None).await;
                Err(read.err().unwrap_or(error))
            }
            headed => headed,
        }
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        match self {
            Self::Gcs(bucket) => bucket.list(under, page, limit).await,
            Self::S3(bucket) => bucket.list(under, page, limit).await,
            Self::Local(bucket) => bucket.list(under, page, limit).await,
        }
    }

    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        match self {
            Self::Gcs(bucket) => bucket.delete(key).await,
            Self::S3(bucket) => bucket.delete(key).await,
            Self::Local(bucket) => bucket.delete(key).await,
        }
    }

    /// All attempts of it: on S3 a copy is many requests, each with a deadline of its own.
    pub async fn copy(
        &self,
        deadline: Duration,
        from: &Object,
        to: &Key,
        given: &Attributes,
        overwrite: bool,
    ) -> Result<(), Error> {
        match self {
            Self::Gcs(bucket) => retry(deadline, || bucket.copy(&from.key, to, given, overwrite)).await,
            Self::S3(bucket) => bucket.copy(from, to, given, overwrite).await,
            Self::Local(bucket) => bucket.copy(&from.key, to, given, overwrite).await,
        }
    }

    /// Begins a multipart upload; its id.
    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        match self {
            Self::Gcs(bucket) => bucket.begin(key).await,
            Self::S3(bucket) => bucket.begin(key).await,
            Self::Local(bucket) => bucket.begin(key).await,
        }
    }

    /// How many parts may be under way at once.
    pub fn parts_in_flight(&self) -> usize {
        match self {
            Self::Gcs(_) | Self::S3(_) => 3,
            Self::Local(_) => 1,
        }
    }

    /// Uploads a part, counted from 0; what `complete` wants to see of it.
    pub async fn part(&self, key: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        match self {
            Self::Gcs(bucket) => bucket.part(key, upload, number, content).await,
            Self::S3(bucket) => bucket.part(key, upload, number, content).await,
            Self::Local(bucket) => bucket.part(upload, content).await,
        }
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        match self {
            Self::Gcs(bucket) => bucket.complete(key, upload, parts).await,
            Self::S3(bucket) => bucket.complete(key, upload, parts).await,
            Self::Local(bucket) => bucket.complete(upload).await,
        }
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        match self {
            Self::Gcs(bucket) => bucket.abort(key, upload).await,
            Self::S3(bucket) => bucket.abort(key, upload).await,
            Self::Local(bucket) => bucket.abort(upload).await,
        }
    }

    pub async fn sign_get(
        &self,
        key: &Key,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        match self {
            Self::Gcs(bucket) => bucket.sign_get(key, lifetime, disposition).await,
            Self::S3(bucket) => bucket.sign_get(key, lifetime, disposition).await,
            Self::Local(_) => Err(Error::new(Kind::Unsupported, NO_URLS)),
        }
    }

    pub async fn sign_put(&self, key: &Key, put: &SignPut, given: &Attributes) -> Result<Presigned, Error> {
        match self {
            Self::Gcs(bucket) => bucket.sign_put(key, put, given).await,
            Self::S3(bucket) => bucket.sign_put(key, put, given).await,
            Self::Local(_) => Err(Error::new(Kind::Unsupported, NO_URLS)),
        }
    }

    pub fn object_lock(&self) -> Result<&s3::Bucket, Error> {
        match self {
            Self::S3(bucket) => Ok(bucket),
            Self::Gcs(_) => Err(Error::new(
                Kind::Unsupported,
                "GCS has object holds in its JSON API alone: set them there, or use S3 with Object Lock",
            )),
            Self::Local(_) => Err(Error::new(Kind::Unsupported, "object holds need S3 with Object Lock")),
        }
    }
}

const NO_URLS: &str = "a folder and memory have no URLs to sign: signed URLs need GCS or S3";
