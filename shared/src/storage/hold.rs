//! Holds on objects: S3's Object Lock.

use super::{Error, ObjectId, Storage, retry::retry};
use std::time::SystemTime;

/// What protects a version of an object from being deleted. A put to the same key makes another version; the protected one
/// stays readable by its version id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hold {
    /// A legal hold, until someone removes it.
    pub legal: bool,
    /// A retention, until a time.
    pub retention: Option<Retention>,
}

/// Until when a version is retained, and who may end that earlier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retention {
    /// Until this time. Callers with a special permission may end the retention earlier.
    Governance(SystemTime),
    /// Until this time. Nobody may end the retention earlier, not even the account's root user.
    Compliance(SystemTime),
}

impl Storage {
    /// Puts a legal hold on a version of the object, or removes it.
    ///
    /// # Errors
    /// `Unsupported` except on S3, in a bucket with Object Lock: GCS has holds in its JSON API only, and files have
    /// none.
    pub async fn set_legal_hold(&self, object: impl Into<ObjectId<'_>>, on: bool) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.timeout(), || bucket.set_legal_hold(object, on)).await
    }

    /// Retains a version of the object until a time, which can be made later but not earlier.
    ///
    /// # Errors
    /// As [`Storage::set_legal_hold`].
    pub async fn set_retention(&self, object: impl Into<ObjectId<'_>>, retention: Retention) -> Result<(), Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.timeout(), || bucket.set_retention(object, retention)).await
    }

    /// What holds a version of the object.
    ///
    /// # Errors
    /// As [`Storage::set_legal_hold`].
    pub async fn hold(&self, object: impl Into<ObjectId<'_>>) -> Result<Hold, Error> {
        let (backend, object) = (self.backend().await?, object.into());
        let bucket = backend.object_lock()?;
        retry(self.timeout(), || bucket.hold(object)).await
    }
}
