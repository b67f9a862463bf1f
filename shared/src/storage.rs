//! The bucket of evidence files: GCS, S3, a folder or memory behind one type. No SDK type leaves `storage/`.

mod backend;
mod checksum;
mod disposition;
mod download;
mod error;
mod folder;
mod gcs;
mod key;
mod memory;
mod presign;
mod response;
mod retry;
mod s3;
mod settings;
mod upload;

use crate::{config::Env, random};
use backend::Backend;
use checksum::Digest;
pub use checksum::{Crc32c, Sha256};
pub use error::{Error, Kind};
use futures_util::stream::BoxStream;
pub use key::{InvalidKey, Key, ObjectId};
pub use presign::{Presigned, SignPut};
use retry::retry;
use serde::{Deserialize, Serialize};
pub use settings::{Location, Settings};
use std::{sync::Arc, time::SystemTime};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OnceCell},
    time::timeout,
};
pub use upload::Stored;

/// Reading this key tells whether objects can be read. It need not exist where the credentials may list the bucket;
/// GCS and S3 answer "forbidden" for a missing key to those who may not.
pub const SENTINEL_KEY: &str = ".pilotlight/sentinel";

/// A bucket, untouched until the first request to it. Clones share their connections.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    settings: Settings,
    backend: OnceCell<Arc<Backend>>,
    connecting: Arc<Mutex<()>>,
}

/// An object without its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Names this content and no other that the key has had or will have; `None` in an S3 bucket without versions, and in
    /// listings.
    pub version: Option<String>,
    /// In bytes.
    pub size: u64,
    /// The store's tag of this content.
    pub etag: Option<String>,
    /// When it was put.
    pub modified: SystemTime,
    /// As it was put; not in listings.
    pub content_type: Option<String>,
    /// Stored beside it by a put of this client; not in listings.
    pub sha256: Option<Sha256>,
    crc32c: Option<Crc32c>,
    upload: Option<String>,
}

impl Object {
    /// This version of the object, whatever becomes of its key.
    pub fn id(&self) -> ObjectId<'_> {
        self.key.at(self.version.as_deref())
    }
}

/// A page of a listing, by key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// At most as many as were asked for; maybe fewer, or none, on a page that is not the last.
    pub objects: Vec<Object>,
    /// For the next page; `None` on the last.
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

/// What keeps a version of an object from being deleted. A put over it makes another version, and this one is there under
/// its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hold {
    /// Until it is taken off.
    pub legal: bool,
    /// Until a time.
    pub retention: Option<Retention>,
}

/// Who may end a retention before its time, which is the time in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retention {
    /// Those with a special permission.
    Governance(SystemTime),
    /// Nobody, the account's root included.
    Compliance(SystemTime),
}

type Body = BoxStream<'static, Result<bytes::Bytes, Error>>;

/// What is stored beside the content of an object.
#[derive(Clone, Deserialize, Serialize)]
struct Attributes {
    content_type: Option<String>,
    sha256: Option<Sha256>,
    /// Unique per put: lets a retry recognise its own object.
    upload: String,
}

/// The metadata that carries the SHA-256, in hexadecimal.
const SHA256: &str = "sha256";
/// The metadata that carries [`Attributes::upload`].
const UPLOAD: &str = "pilotlight-upload";

impl Attributes {
    fn of(put: &Put) -> Result<Self, Error> {
        let plain = |c: u8| c == b' ' || c.is_ascii_graphic();
        if put.content_type.as_ref().is_some_and(|text| !text.bytes().all(plain)) {
            return Err(Error::new(Kind::Invalid, "a content type is printable ASCII"));
        }
        let random = random::u128().to_be_bytes();
        Ok(Self {
            content_type: put.content_type.clone(),
            sha256: put.sha256,
            upload: uuid::Builder::from_random_bytes(random).into_uuid().to_string(),
        })
    }
}

crate::closed_set! {
    /// Why the bucket cannot be used: the closed set of `/health/storage`.
    #[cfg_attr(feature = "openapi", schema(as = StorageReason))]
    pub enum Reason {
        /// None of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET` is set.
        NotConfigured = "not_configured",
        /// A setting cannot work: an invalid key file, the wrong region.
        Misconfigured = "misconfigured",
        /// Nothing answers there.
        Unreachable = "unreachable",
        /// No answer within the deadline.
        Timeout = "timeout",
        /// The store does not accept the credentials, or there are none.
        AuthFailed = "auth_failed",
        /// The store accepts the credentials, but they do not allow reading.
        Forbidden = "forbidden",
        /// There is no bucket of that name.
        BucketNotFound = "bucket_not_found",
        /// Anything else; the log has the cause.
        Error = "error",
    }
}

impl Reason {
    /// Logs the cause, once, with the request's id.
    fn logged(error: &Error) -> Self {
        let reason = match error.kind {
            Kind::NotConfigured => Self::NotConfigured,
            Kind::Misconfigured => Self::Misconfigured,
            Kind::Unreachable => Self::Unreachable,
            Kind::Timeout => Self::Timeout,
            Kind::Unauthenticated => Self::AuthFailed,
            Kind::Forbidden => Self::Forbidden,
            Kind::BucketNotFound => Self::BucketNotFound,
            _ => Self::Error,
        };
        if reason != Self::NotConfigured {
            tracing::error!(
                reason = reason.as_str(),
                cause = error.chain(),
                "the bucket cannot be used"
            );
        }
        reason
    }
}

impl Storage {
    /// The bucket that the environment names. Key files are read, and connections opened, by the first request.
    pub fn from_env(env: &Env) -> Self {
        Self::new(Settings::from_env(env))
    }

    /// The bucket of these settings. Key files are read, and connections opened, by the first request.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            settings,
            backend: OnceCell::new(),
            connecting: Arc::default(),
        }))
    }

    /// The bucket's name, as far as it is known; the last part of a folder's path.
    pub fn bucket(&self) -> Option<&str> {
        match self.0.settings.location.as_ref().ok()? {
            Location::Gcs(name) | Location::S3(name) => Some(name),
            Location::Folder(path) => path.rsplit('/').find(|part| !part.is_empty()),
            Location::Memory => Some("memory"),
        }
    }

    /// Can objects be read with these credentials? Reads [`SENTINEL_KEY`], writes nothing.
    ///
    /// # Errors
    /// The reason; the cause is logged. No deadline and no retries: the caller has a deadline, and asks again.
    pub async fn probe(&self) -> Result<(), Reason> {
        let probed = async { self.backend().await?.probe().await }.await;
        probed.map_err(|error| Reason::logged(&error))
    }

    /// The object without its content.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn head(&self, object: impl Into<ObjectId<'_>>) -> Result<Object, Error> {
        let (backend, object) = (self.backend().await?, object.into());
        retry(self.0.settings.timeout, || backend.head(object)).await
    }

    /// A page of the objects below `under`, or of all: of `limit` objects at most, after the page whose `next` is given.
    /// Objects that others have put are listed under the names they have, also those that are not valid keys here.
    ///
    /// # Errors
    /// `BucketNotFound`, where the store says so.
    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let backend = self.backend().await?;
        let limit = limit.clamp(1, 1000);
        let listed = retry(self.0.settings.timeout, || backend.list(under, page, limit)).await;
        let mut page = listed?;
        let reserved = format!("{}/", key::RESERVED);
        page.objects
            .retain(|object| !object.key.as_str().starts_with(&reserved));
        Ok(page)
    }

    /// Deletes the object, if it is there. In a bucket that keeps versions, the current version goes for good, and on S3
    /// whatever it had replaced, version by version: no delete marker hides what is still there.
    ///
    /// # Errors
    /// `Forbidden` where a hold keeps a version, which is then the current one.
    pub async fn delete(&self, object: impl Into<ObjectId<'_>>) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        match retry(self.0.settings.timeout, || backend.delete(object)).await {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    /// Puts a legal hold on a version of the object, or takes it off.
    ///
    /// # Errors
    /// `Unsupported` but on S3, in a bucket with Object Lock: GCS has holds in its JSON API alone, and files have none.
    pub async fn set_legal_hold(&self, object: impl Into<ObjectId<'_>>, on: bool) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.0.settings.timeout, || bucket.set_legal_hold(object, on)).await
    }

    /// Retains a version of the object until a time, which can be made later and not earlier.
    ///
    /// # Errors
    /// As [`Storage::set_legal_hold`].
    pub async fn set_retention(&self, object: impl Into<ObjectId<'_>>, retention: Retention) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.0.settings.timeout, || bucket.set_retention(object, retention)).await
    }

    /// What holds a version of the object.
    ///
    /// # Errors
    /// As [`Storage::set_legal_hold`].
    pub async fn hold(&self, object: impl Into<ObjectId<'_>>) -> Result<Hold, Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.0.settings.timeout, || bucket.hold(object)).await
    }

    async fn backend(&self) -> Result<Arc<Backend>, Error> {
        // The SDK may ask a metadata server for the region.
        let connected = self.0.backend.get_or_try_init(|| self.connect());
        let connected = timeout(self.0.settings.timeout, connected).await;
        connected.map_err(|_| Kind::Timeout)?.cloned()
    }

    /// On a thread of its own, and on no second one: a key file or a profile may lie in a volume that hangs.
    async fn connect(&self) -> Result<Arc<Backend>, Error> {
        let (storage, runtime) = (self.clone(), Handle::current());
        let turn = Arc::clone(&self.0.connecting).lock_owned().await;
        blocking(move || {
            let _turn = turn;
            runtime.block_on(Backend::connect(&storage.0.settings)).map(Arc::new)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|panic| Error::new(Kind::Other, panic))?
}
