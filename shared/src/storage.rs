//! The bucket: GCS, S3, a folder or memory behind one type. No type of an SDK leaves this module.

mod answer;
mod backend;
mod checksum;
mod download;
mod error;
mod folder;
mod gcs;
mod hold;
mod key;
mod memory;
mod object;
mod presign;
mod reason;
mod response;
mod retry;
mod s3;
mod settings;
mod upload;

use crate::{config::Env, telemetry};
use backend::Backend;
use checksum::Digest;
pub use checksum::{Crc32c, Sha256};
pub use error::{Error, Kind};
use futures_util::stream::BoxStream;
pub use hold::{Hold, Retention};
pub use key::{InvalidKey, Key, ObjectId};
use object::{Attributes, SHA256, UPLOAD};
pub use object::{Object, Page, Put};
pub use presign::{Presigned, SignPut};
pub use reason::Reason;
use retry::retry;
pub use settings::{Location, Settings};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OnceCell},
    time::timeout,
};
pub use upload::Stored;

/// A health check reads this key, which shows whether objects can be read. The object need not exist where the
/// credentials may list the bucket; without that right, GCS and S3 answer "forbidden" for a missing key.
pub const SENTINEL_KEY: &str = ".pilotlight/sentinel";

/// Unfinished uploads are below this prefix. A lifecycle rule may delete those that were abandoned.
pub const UPLOADS_PREFIX: &str = ".pilotlight/uploads/";

/// A bucket, which the first request connects to. Clones share their connections.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    settings: Settings,
    backend: OnceCell<Arc<Backend>>,
    connecting: Arc<Mutex<()>>,
}

type Body = BoxStream<'static, Result<bytes::Bytes, Error>>;

impl Storage {
    /// The bucket that the environment names. Key files are read, and connections opened, by the first request; that is
    /// also where settings that cannot work are reported.
    pub fn from_env(env: &Env) -> Self {
        Self(Arc::new(Inner {
            settings: Settings::from_env(env),
            backend: OnceCell::new(),
            connecting: Arc::default(),
        }))
    }

    /// The bucket's name, or the last part of a folder's path; `None` where no setting names a bucket.
    pub fn bucket(&self) -> Option<&str> {
        match self.0.settings.location.as_ref().ok()? {
            Location::Gcs(name) | Location::S3(name) => Some(name),
            Location::Folder(path) => path.rsplit('/').find(|part| !part.is_empty()),
            Location::Memory => Some("memory"),
        }
    }

    /// Whether objects can be read with these credentials. Reads [`SENTINEL_KEY`], writes nothing.
    ///
    /// # Errors
    /// The reason; the cause is logged. There is no deadline and no retry: the caller has a deadline, and asks again.
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
        retry(self.timeout(), || backend.head(object)).await
    }

    /// A page of at most `limit` (1 to 1,000) objects whose keys begin with `under/`, or of all. `page` is the `next`
    /// of the page before. Objects that other programs have put are listed too, even under names that are not valid
    /// keys here.
    ///
    /// # Errors
    /// `BucketNotFound`, where the store says so.
    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let backend = self.backend().await?;
        let limit = limit.clamp(1, 1000);
        let listed = retry(self.timeout(), || backend.list(under, page, limit)).await;
        let mut page = listed?;
        let reserved = format!("{}/", key::RESERVED);
        page.objects
            .retain(|object| !object.key.as_str().starts_with(&reserved));
        Ok(page)
    }

    /// Deletes the object, if it is there. In a bucket with versions, the current version is deleted for good; on S3,
    /// so is every older one, version by version: a delete marker would hide what is still there.
    ///
    /// # Errors
    /// `Forbidden` where a hold protects a version, which is then the current one.
    pub async fn delete(&self, object: impl Into<ObjectId<'_>>) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        match retry(self.timeout(), || backend.delete(object)).await {
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    /// The deadline of one request, its retries included.
    fn timeout(&self) -> Duration {
        self.0.settings.timeout
    }

    async fn backend(&self) -> Result<Arc<Backend>, Error> {
        // The SDK may ask a metadata server for the region.
        let connected = self.0.backend.get_or_try_init(|| self.connect());
        let connected = timeout(self.timeout(), connected).await;
        connected.map_err(|_| Kind::Timeout)?.cloned()
    }

    /// Runs on a blocking thread, and on one at a time: a key file or a profile may be on a file system that hangs.
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
    let worked = telemetry::spawn_blocking(work).await;
    worked.map_err(|panic| Error::new(Kind::Other, panic))?
}
