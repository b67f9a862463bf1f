//! Putting: whole or as a stream, in bounded memory, with nothing left behind by what fails.

use super::{Attributes, Backend, Crc32c, Digest, Error, Key, Kind, Put, Sha256, Storage, retry::retry};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream::FuturesOrdered};
use std::{pin::pin, sync::Arc, time::Duration};

/// Content of at most this size goes in one request; more in parts of it, up to 80 GB (10,000 parts).
const PART: usize = 8 << 20;

/// What was stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stored {
    /// In bytes.
    pub size: u64,
    /// Of the content.
    pub sha256: Sha256,
}

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

    /// Stores what comes, in memory for 4 parts of 8 MiB, whatever its size. The object appears whole, at the end.
    ///
    /// # Errors
    /// As [`Storage::put`]; `Source` where `content` fails. Dropping the future is an end like any other: parts are
    /// removed. A process that is killed leaves them, for the bucket's rule on incomplete uploads.
    pub async fn put_stream<E>(
        &self,
        key: &Key,
        content: impl Stream<Item = Result<Bytes, E>>,
        put: &Put,
    ) -> Result<Stored, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let content = pin!(content);
        let mut parts = Parts::of(content);
        let attributes = Attributes::of(put)?;
        let first = parts.next().await?.unwrap_or_default();
        if first.len() < PART {
            let stored = parts.finish(put.sha256)?;
            return self.put_whole(key, first, put, attributes, stored).await;
        }
        let backend = self.backend().await?;
        if !put.overwrite && self.exists(key).await? {
            return Err(Kind::AlreadyExists.into());
        }
        let staging = Key::own(&format!("uploads/{}", attributes.upload));
        let deadline = self.0.settings.timeout;
        let id = retry(deadline, || backend.begin(&staging)).await?;
        let staged = Staged(Some(Staging {
            backend: Arc::clone(&backend),
            key: staging,
            id,
            deadline,
        }));
        let stored = self.put_parts(&staged, first, parts, key, put, attributes).await;
        staged.remove().await;
        stored
    }

    async fn put_whole(
        &self,
        key: &Key,
        content: Bytes,
        put: &Put,
        mut attributes: Attributes,
        (stored, _): (Stored, Crc32c),
    ) -> Result<Stored, Error> {
        attributes.sha256 = Some(stored.sha256);
        let backend = self.backend().await?;
        let done = retry(self.0.settings.timeout, || {
            backend.put(key, content.clone(), &attributes, put.overwrite)
        })
        .await;
        self.own(done, key, &attributes).await?;
        Ok(stored)
    }

    async fn put_parts<E, S>(
        &self,
        staged: &Staged,
        first: Bytes,
        mut parts: Parts<S>,
        key: &Key,
        put: &Put,
        mut attributes: Attributes,
    ) -> Result<Stored, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Staging {
            backend,
            key: staging,
            id,
            deadline,
        } = staged.get();
        let mut in_flight = FuturesOrdered::new();
        let mut done = Vec::new();
        let mut next = Some(first);
        for number in 0.. {
            let Some(part) = next else { break };
            in_flight.push_back(retry(*deadline, move || {
                backend.part(staging, id, number, part.clone())
            }));
            if in_flight.len() >= backend.parts_in_flight() {
                done.extend(in_flight.next().await.transpose()?);
            }
            next = parts.next().await?.filter(|part| !part.is_empty());
        }
        while let Some(part) = in_flight.next().await {
            done.push(part?);
        }
        let (stored, crc32c) = parts.finish(put.sha256)?;
        let completed = retry(*deadline, || backend.complete(staging, id, &done)).await;
        // An answer that was lost makes a second attempt find nothing to complete.
        let object = retry(*deadline, || backend.head(staging)).await;
        let object = object.map_err(|error| completed.err().unwrap_or(error))?;
        if object.size != stored.size || object.crc32c.is_some_and(|kept| kept != crc32c) {
            return Err(Kind::Corrupt.into());
        }
        attributes.sha256 = Some(stored.sha256);
        let copied = backend.copy(*deadline, &object, key, &attributes, put.overwrite).await;
        self.own(copied, key, &attributes).await?;
        Ok(stored)
    }

    /// Copies an object with its attributes.
    ///
    /// # Errors
    /// `AlreadyExists` unless `overwrite`.
    pub async fn copy(&self, from: &Key, to: &Key, overwrite: bool) -> Result<(), Error> {
        let object = self.head(from).await?;
        let attributes = Attributes {
            content_type: object.content_type.clone(),
            sha256: object.sha256,
            ..Attributes::of(&Put::default())?
        };
        let backend = self.backend().await?;
        let copied = backend
            .copy(self.0.settings.timeout, &object, to, &attributes, overwrite)
            .await;
        self.own(copied, to, &attributes).await
    }

    /// A create-only put that was repeated, because its first answer was lost, finds its own object.
    async fn own(&self, done: Result<(), Error>, key: &Key, attributes: &Attributes) -> Result<(), Error> {
        match done {
            Err(error) if matches!(error.kind, Kind::AlreadyExists | Kind::NotFound) => {
                let found = self.head(key).await.ok().and_then(|object| object.upload);
                if found.as_deref() == Some(&attributes.upload) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            done => done,
        }
    }

    async fn exists(&self, key: &Key) -> Result<bool, Error> {
        match self.head(key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A stream cut into parts of one size, and its checksums.
struct Parts<S> {
    content: S,
    rest: Bytes,
    size: u64,
    digest: Digest,
}

impl<S, E> Parts<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn of(content: S) -> Self {
        Self {
            content,
            rest: Bytes::new(),
            size: 0,
            digest: Digest::default(),
        }
    }

    /// The next part: a full one, or the last.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut part = BytesMut::new();
        while part.len() < PART {
            if self.rest.is_empty() {
                match self.content.next().await {
                    Some(chunk) => self.rest = chunk.map_err(|error| Error::new(Kind::Source, error))?,
                    None => break,
                }
            }
            let taken = self.rest.split_to(self.rest.len().min(PART - part.len()));
            if part.is_empty() && taken.len() == PART {
                return Ok(Some(self.passed(taken)));
            }
            part.extend_from_slice(&taken);
        }
        if part.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.passed(part.freeze())))
    }

    fn passed(&mut self, part: Bytes) -> Bytes {
        self.digest.update(&part);
        self.size += part.len() as u64;
        part
    }

    /// What has passed, which must be what was expected.
    fn finish(self, expected: Option<Sha256>) -> Result<(Stored, Crc32c), Error> {
        let (sha256, crc32c) = self.digest.finish();
        if expected.is_some_and(|expected| expected != sha256) {
            return Err(Kind::Corrupt.into());
        }
        let stored = Stored {
            size: self.size,
            sha256,
        };
        Ok((stored, crc32c))
    }
}

/// What an upload leaves in the bucket until it is removed, which dropping it begins.
struct Staged(Option<Staging>);

#[derive(Clone)]
struct Staging {
    backend: Arc<Backend>,
    key: Key,
    id: String,
    deadline: Duration,
}

impl Staging {
    /// The parts, or the object that they have become.
    async fn remove(self) {
        let Self {
            backend,
            key,
            id,
            deadline,
        } = self;
        for removal in [
            retry(deadline, || backend.abort(&key, &id)).await,
            retry(deadline, || backend.delete(&key)).await,
        ] {
            if let Err(error) = removal
                && error.kind != Kind::NotFound
            {
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
    fn get(&self) -> &Staging {
        self.0.as_ref().expect("it is taken at its end")
    }

    async fn remove(mut self) {
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
