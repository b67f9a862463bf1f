//! An unfinished upload: a multipart upload under a reserved key, removed when its handle is dropped.

use crate::storage::{Error, Key, Kind, backend::Backend, retry::retry};
use std::{sync::Arc, time::Duration};

/// The handle: dropping it begins to remove what the upload has left in the bucket.
pub struct Staged(pub Option<Staging>);

#[derive(Clone)]
pub struct Staging {
    pub backend: Arc<Backend>,
    pub key: Key,
    pub id: String,
    pub deadline: Duration,
    pub progress: Progress,
}

/// What has to be removed if the upload fails.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Parts, and no object.
    Parts,
    /// Parts, or the object that they have become.
    Completing,
    /// An object of this version.
    Completed(Option<String>),
}

impl Staging {
    async fn remove(self) {
        let version = match &self.progress {
            Progress::Completed(version) => version.as_deref(),
            Progress::Parts | Progress::Completing => {
                self.removed(retry(self.deadline, || self.backend.abort(&self.key, &self.id)).await);
                None
            }
        };
        if !matches!(self.progress, Progress::Parts) {
            // Deletes the version: otherwise a bucket with versions would store every upload twice.
            let object = self.key.at(version);
            self.removed(retry(self.deadline, || self.backend.delete(object)).await);
        }
    }

    fn removed(&self, removed: Result<(), Error>) {
        match removed {
            Err(error) if error.kind != Kind::NotFound => tracing::warn!(
                key = self.key.as_str(),
                cause = error.chain(),
                "an upload's parts were left behind"
            ),
            _ => {}
        }
    }
}

impl Staged {
    pub fn get(&mut self) -> &mut Staging {
        self.0.as_mut().expect("taken only when it is removed")
    }

    pub async fn remove(mut self) {
        if let Some(staging) = self.0.clone() {
            staging.remove().await;
            self.0 = None;
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(staging) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(staging.remove());
        }
    }
}
