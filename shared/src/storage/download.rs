//! Download: a stream that resumes after an interruption, and ends without an error only if its checksum matches.

use super::{Body, Digest, Error, Kind, Object, ObjectId, Storage, retry::retry};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// After this many bytes, an interruption is repaired without a pause again. Fewer would cost: requests are billed.
const STEADY: u64 = 64 << 10;

impl Storage {
    /// The object, and its content or a range of it as a stream. A range may end after the object's end.
    ///
    /// The content of a whole object must match the SHA-256 stored with it, or else the store's checksum: otherwise the
    /// stream ends with `Corrupt`. Do not act on content before the stream has ended.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRange` where the range is empty or begins after the end. In the stream: `Corrupt`;
    /// `PreconditionFailed` where the object was replaced before the rest could be requested; `Unreachable` or
    /// `Timeout` where no byte arrives in `STORAGE_TIMEOUT` of waiting, even if the store answers.
    pub async fn get(
        &self,
        object: impl Into<ObjectId<'_>>,
        range: Option<Range<u64>>,
    ) -> Result<(Object, BoxStream<'static, Result<Bytes, Error>>), Error> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(Kind::InvalidRange.into());
        }
        let (backend, id) = (self.backend().await?, object.into());
        let (object, body) = retry(self.timeout(), || backend.get(id, range.clone(), None)).await?;
        let version = id.version.map(str::to_owned);
        let whole = 0..object.size;
        let wanted = range.map_or(whole.clone(), |range| range.start..range.end.min(object.size));
        let reading = Reading {
            storage: self.clone(),
            digest: (wanted == whole).then(Digest::default),
            object: Arc::new(object.clone()),
            version,
            wanted,
            body,
            waited: Duration::ZERO,
            pause: Duration::ZERO,
            arrived: 0,
        };
        Ok((object, stream::try_unfold(reading, Reading::next).boxed()))
    }
}

struct Reading {
    storage: Storage,
    object: Arc<Object>,
    /// The version that the caller named, if any: on S3, naming a version needs another permission.
    version: Option<String>,
    /// The bytes that have not arrived yet.
    wanted: Range<u64>,
    body: Body,
    /// `None` for a range, which has no checksum.
    digest: Option<Digest>,
    /// Time spent waiting since the last byte.
    waited: Duration,
    /// The pause before the next request for the rest.
    pause: Duration,
    /// Bytes since the last such request.
    arrived: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let chunk = loop {
            match self.chunk().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => break chunk,
                None if self.wanted.is_empty() => return self.verified().map(|()| None),
                // A body that ends early is an interruption too.
                None => {
                    self.reopen(Error::new(Kind::Unreachable, "the body ends early"))
                        .await?;
                }
                Some(Err(error)) if error.is_transient() && !self.wanted.is_empty() => self.reopen(error).await?,
                Some(Err(error)) => return Err(error),
            }
        };
        self.accept(&chunk)?;
        Ok(Some((chunk, self)))
    }

    async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        let deadline = self.storage.timeout();
        if self.waited >= deadline {
            return Some(Err(Kind::Timeout.into()));
        }
        let start = Instant::now();
        let chunk = timeout(deadline / 2, self.body.next()).await;
        self.waited += start.elapsed();
        chunk.unwrap_or_else(|_| Some(Err(Kind::Timeout.into())))
    }

    fn accept(&mut self, chunk: &Bytes) -> Result<(), Error> {
        let length = chunk.len() as u64;
        if length > self.wanted.end - self.wanted.start {
            return Err(Kind::Corrupt.into());
        }
        self.wanted.start += length;
        self.waited = Duration::ZERO;
        self.arrived += length;
        if self.arrived >= STEADY {
            self.pause = Duration::ZERO;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(chunk);
        }
        Ok(())
    }

    /// Requests the rest of the same object; fails if the key has another by now.
    async fn reopen(&mut self, interruption: Error) -> Result<(), Error> {
        let deadline = self.storage.timeout();
        let left = deadline.saturating_sub(self.waited);
        if left <= self.pause {
            return Err(interruption);
        }
        let start = Instant::now();
        sleep(self.pause).await;
        let longest = (deadline / 4).min(Duration::from_secs(2));
        self.pause = (self.pause * 2).max(Duration::from_millis(100)).min(longest);
        self.arrived = 0;
        let backend = self.storage.backend().await?;
        let (id, etag) = (self.object.key.at(self.version.as_deref()), self.object.etag.as_deref());
        let reopened = retry(left, || backend.get(id, Some(self.wanted.clone()), etag)).await;
        self.waited += start.elapsed();
        let (object, body) = reopened.map_err(|error| match error.kind {
            Kind::NotFound => Error::new(Kind::PreconditionFailed, error),
            _ => error,
        })?;
        if object.etag != self.object.etag || object.size != self.object.size {
            return Err(Kind::PreconditionFailed.into());
        }
        self.body = body;
        Ok(())
    }

    fn verified(&mut self) -> Result<(), Error> {
        let Some(digest) = self.digest.take() else {
            return Ok(());
        };
        let (sha256, crc32c) = digest.finish();
        let matches = match self.object.sha256 {
            Some(expected) => expected == sha256,
            None => self.object.crc32c.is_none_or(|expected| expected == crc32c),
        };
        if matches { Ok(()) } else { Err(Kind::Corrupt.into()) }
    }
}
