//! Upload: whole or as a stream, in bounded memory. An upload that fails leaves nothing behind.

mod parts;
mod staged;

use super::{Attributes, Crc32c, Error, Key, Kind, Object, ObjectId, Put, Storage, retry::retry};
use crate::telemetry;
use axum::BoxError;
use bytes::Bytes;
use futures_util::Stream;
use parts::Parts;
pub use parts::{PART, Stored};
use staged::{Progress, Staged, Staging};
use std::{collections::BTreeMap, pin::pin, sync::Arc};
use tokio::task::JoinSet;

impl Storage {
    /// Stores `content` under `key`.
    ///
    /// # Errors
    /// `AlreadyExists` unless `put.overwrite`; `Corrupt` where `put.sha256` or a checksum on the way does not match.
    /// Nothing is stored then.
    pub async fn put(&self, key: &Key, content: Bytes, put: &Put) -> Result<Stored, Error> {
        let content = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(content)]);
        self.put_stream(key, content, put).await
    }

    /// Stores a stream of any size, in memory for 4 parts of 8 MiB. The object appears at the end, complete.
    ///
    /// # Errors
    /// As [`Storage::put`]; `Body` where `content` fails. Dropping the future removes the parts too. A process that is
    /// killed leaves them to the bucket's rule for incomplete uploads.
    pub async fn put_stream<E>(
        &self,
        key: &Key,
        content: impl Stream<Item = Result<Bytes, E>>,
        put: &Put,
    ) -> Result<Stored, Error>
    where
        E: Into<BoxError>,
    {
        let content = pin!(content);
        let mut parts = Parts::new(content);
        let attributes = Attributes::new(put)?;
        let first = parts.next().await?.unwrap_or_default();
        if first.len() < PART {
            let stored = parts.finish(put.sha256)?;
            return self.put_whole(key, first, put, attributes, stored).await;
        }
        let backend = self.backend().await?;
        // Only saves work: the copy at the end decides. Credentials that may not list get an error here for a free key.
        if !put.overwrite {
            match self.head(key).await {
                Ok(_) => return Err(Kind::AlreadyExists.into()),
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {}
            }
        }
        let staging = Key::unfinished(&attributes.upload);
        let deadline = self.timeout();
        let id = retry(deadline, || backend.begin(&staging)).await?;
        let mut staged = Staged(Some(Staging {
            backend: Arc::clone(&backend),
            key: staging,
            id,
            deadline,
            progress: Progress::Parts,
        }));
        let stored = self.put_parts(&mut staged, first, parts, key, put, attributes).await;
        staged.remove().await;
        stored
    }

    async fn put_whole(
        &self,
        key: &Key,
        content: Bytes,
        put: &Put,
        mut attributes: Attributes,
        (mut stored, _): (Stored, Crc32c),
    ) -> Result<Stored, Error> {
        attributes.sha256 = Some(stored.sha256);
        let backend = self.backend().await?;
        let done = retry(self.timeout(), || {
            backend.put(key, content.clone(), &attributes, put.overwrite)
        })
        .await;
        stored.version = self.accept_own_put(done, key, &attributes).await?;
        Ok(stored)
    }

    async fn put_parts<E, S>(
        &self,
        staged: &mut Staged,
        first: Bytes,
        mut parts: Parts<S>,
        key: &Key,
        put: &Put,
        mut attributes: Attributes,
    ) -> Result<Stored, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<BoxError>,
    {
        let done = upload_parts(staged.get(), first, &mut parts).await?;
        let (mut stored, crc32c) = parts.finish(put.sha256)?;
        let object = complete(staged.get(), &done).await?;
        if object.size != stored.size || object.crc32c.is_some_and(|found| found != crc32c) {
            return Err(Kind::Corrupt.into());
        }
        attributes.sha256 = Some(stored.sha256);
        let Staging { backend, deadline, .. } = staged.get();
        let copied = backend
            .copy(*deadline, (&object, None), key, &attributes, put.overwrite)
            .await;
        stored.version = self.accept_own_put(copied, key, &attributes).await?;
        Ok(stored)
    }

    /// Copies an object with its attributes; returns the version of the copy. Content and attributes are of the same
    /// version.
    ///
    /// # Errors
    /// `AlreadyExists` unless `overwrite`; `PreconditionFailed` where the object was replaced meanwhile.
    pub async fn copy(
        &self,
        from: impl Into<ObjectId<'_>>,
        to: &Key,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let from = from.into();
        let object = self.head(from).await?;
        let attributes = Attributes {
            content_type: object.content_type.clone(),
            sha256: object.sha256,
            ..Attributes::new(&Put::default())?
        };
        let backend = self.backend().await?;
        let copied = backend
            .copy(self.timeout(), (&object, from.version), to, &attributes, overwrite)
            .await;
        self.accept_own_put(copied, to, &attributes).await
    }

    /// A create-only put whose first answer was lost finds its own object when it is repeated: that is a success.
    async fn accept_own_put(
        &self,
        done: Result<Option<String>, Error>,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<Option<String>, Error> {
        match done {
            Err(error) if matches!(error.kind, Kind::AlreadyExists | Kind::NotFound) => match self.head(key).await {
                Ok(found) if found.upload.as_ref() == Some(&attributes.upload) => Ok(found.version),
                _ => Err(error),
            },
            done => done,
        }
    }
}

/// Uploads all parts; returns what `complete` needs to know of each.
async fn upload_parts<E, S>(staging: &Staging, first: Bytes, parts: &mut Parts<S>) -> Result<Vec<String>, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<BoxError>,
{
    // Tasks, so that uploads go on while the next part is awaited.
    let mut uploads = JoinSet::new();
    let mut done = BTreeMap::new();
    let mut next = Some(first);
    for number in 0.. {
        let Some(part) = next else { break };
        if uploads.len() >= staging.backend.parts_in_flight() {
            done.extend(uploaded(&mut uploads).await?);
        }
        telemetry::spawn_in(&mut uploads, upload(staging.clone(), number, part));
        next = parts.next().await?;
    }
    while !uploads.is_empty() {
        done.extend(uploaded(&mut uploads).await?);
    }
    Ok(done.into_values().collect())
}

/// Completes the upload; returns the object.
async fn complete(staging: &mut Staging, parts: &[String]) -> Result<Object, Error> {
    staging.progress = Progress::Completing;
    let Staging {
        backend,
        key,
        id,
        deadline,
        ..
    } = staging;
    let completed = retry(*deadline, || backend.complete(key, id, parts)).await;
    // If the first answer was lost, the second attempt finds nothing to complete, so the object decides.
    let object = retry(*deadline, || backend.head((&*key).into())).await;
    let object = object.map_err(|error| completed.err().unwrap_or(error))?;
    staging.progress = Progress::Completed(object.version.clone());
    Ok(object)
}

async fn upload(staging: Staging, number: usize, part: Bytes) -> Result<(usize, String), Error> {
    let Staging { backend, key, id, .. } = &staging;
    let done = retry(staging.deadline, || backend.part(key, id, number, part.clone())).await;
    done.map(|done| (number, done))
}

/// Waits for the next part to arrive; `None` if no upload is running.
async fn uploaded(uploads: &mut JoinSet<Result<(usize, String), Error>>) -> Result<Option<(usize, String)>, Error> {
    let joined = uploads.join_next().await.transpose();
    joined.map_err(|error| Error::new(Kind::Other, error))?.transpose()
}
