//! The bucket of evidence files: GCS, S3, a folder or memory behind one type. No SDK type leaves `storage/`.

mod gcs;
mod http;
mod s3;

use crate::config::{self, Location, Unusable};
use std::{io, path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// Reading this key tells whether objects can be read. It need not exist where the credentials may list the bucket;
/// GCS and S3 answer "forbidden" for a missing key to those who may not.
pub const SENTINEL_KEY: &str = ".pilotlight/sentinel";

/// A bucket, untouched until the first request to it. Clones share their connections.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    settings: config::Storage,
    backend: OnceCell<Backend>,
}

enum Backend {
    Gcs(gcs::Bucket),
    S3(s3::Bucket),
    Folder(PathBuf),
    Memory,
}

/// Why the bucket cannot be used: the closed set of `/health/storage`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// None of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET` is set.
    NotConfigured,
    /// A setting cannot work: a key file that is none, the wrong region.
    Misconfigured,
    /// Nothing answers there.
    Unreachable,
    /// No answer within the deadline.
    Timeout,
    /// The store does not accept who we are, or there are no credentials at all.
    AuthFailed,
    /// The store knows who we are, and we may not read.
    Forbidden,
    /// There is no bucket of that name.
    BucketNotFound,
    /// Anything else; the log has the cause.
    Error,
}

impl Reason {
    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Misconfigured => "misconfigured",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::AuthFailed => "auth_failed",
            Self::Forbidden => "forbidden",
            Self::BucketNotFound => "bucket_not_found",
            Self::Error => "error",
        }
    }

    /// Logs the cause, once, with the request's id.
    fn because(self, cause: &dyn std::error::Error) -> Self {
        let chain: Vec<String> = std::iter::successors(Some(cause), |error| error.source())
            .map(ToString::to_string)
            .collect();
        tracing::error!(
            reason = self.as_str(),
            cause = chain.join(": "),
            "the bucket cannot be used"
        );
        self
    }
}

impl Storage {
    /// Takes the settings; reads key files and connects at the first request.
    pub fn connect_lazy(settings: config::Storage) -> Self {
        Self(Arc::new(Inner {
            settings,
            backend: OnceCell::new(),
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
        match self.0.backend.get_or_try_init(|| self.connect()).await? {
            Backend::Gcs(bucket) => bucket.probe().await,
            Backend::S3(bucket) => bucket.probe().await,
            Backend::Folder(path) => probe_folder(path.clone()).await,
            Backend::Memory => Ok(()),
        }
    }

    async fn connect(&self) -> Result<Backend, Reason> {
        let settings = &self.0.settings;
        match settings.location.as_ref() {
            Err(Unusable::NotConfigured) => Err(Reason::NotConfigured),
            Err(Unusable::Misconfigured(setting)) => {
                tracing::error!("{setting}");
                Err(Reason::Misconfigured)
            }
            Ok(Location::Gcs(name)) => gcs::Bucket::new(name, settings).map(Backend::Gcs),
            Ok(Location::S3(name)) => Ok(Backend::S3(s3::Bucket::new(name, settings).await)),
            Ok(Location::Folder(path)) => Ok(Backend::Folder(path.into())),
            Ok(Location::Memory) => Ok(Backend::Memory),
        }
    }
}

/// On a thread of its own: a network file system can hang.
async fn probe_folder(path: PathBuf) -> Result<(), Reason> {
    let opened = tokio::task::spawn_blocking(move || std::fs::read_dir(path).map(drop)).await;
    let Err(error) = opened.unwrap_or_else(|panic| Err(io::Error::other(panic))) else {
        return Ok(());
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reason::BucketNotFound,
        io::ErrorKind::PermissionDenied => Reason::Forbidden,
        _ => Reason::Error,
    };
    Err(reason.because(&error))
}
