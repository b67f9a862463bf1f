//! An upload on its way: a multipart upload under a key of our own, which goes when its handle goes.

use crate::storage::{Key, Kind, backend::Backend, retry::retry};
use std::{sync::Arc, time::Duration};

/// What an upload leaves in the bucket until it is removed, which dropping it begins.
pub struct Staged(pub Option<Staging>);

#[derive(Clone)]
pub struct Staging {
    pub backend: Arc<Backend>,
    pub key: Key,
    pub id: String,
    pub deadline: Duration,
}

impl Staging {
    /// The object that the parts have become, and the parts, unless it is known that they have.
    async fn remove(self, whole: bool) {
        let Self {
            backend,
            key,
            id,
            deadline,
        } = self;
        let aborted = if whole {
            Ok(())
        } else {
            retry(deadline, || backend.abort(&key, &id)).await
        };
        let deleted = retry(deadline, || backend.delete(&key)).await;
        for error in [aborted, deleted].into_iter().filter_map(Result::err) {
            if error.kind != Kind::NotFound {
                tracing::warn!(
                    key = key.as_str(),
                    cause = error.chain(),
                    "an upload's parts were left behind"
                );
            }
        }
    }
}

impl Staged {
    pub fn get(&self) -> &Staging {
        self.0.as_ref().expect("it is taken at its end")
    }

    pub async fn remove(mut self, whole: bool) {
        if let Some(staging) = self.0.clone() {
            staging.remove(whole).await;
            self.0 = None;
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(staging) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(staging.remove(false));
        }
    }
}
