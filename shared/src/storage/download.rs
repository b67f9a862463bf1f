//! Getting: a stream that goes on after an interruption, and ends well only where its checksum is right.

use super::{Body, Crc32c, Digest, Error, Key, Kind, Object, Storage, retry::retry};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{ops::Range, sync::Arc};
use tokio::time::timeout;

impl Storage {
    /// The object, and its content or a range of it as a stream. A range may end after the object's end.
    ///
    /// The content of a whole object is held to the SHA-256 that was kept with it, or to the store's own checksum: a stream
    /// that does not match ends with `Corrupt`. Do not act on content before its end.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRange` where the range is empty or begins after the end. In the stream: `Corrupt`, and
    /// `PreconditionFailed` where the object was replaced while an interruption was being mended.
    pub async fn get(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<(Object, impl Stream<Item = Result<Bytes, Error>> + Send + use<>), Error> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(Kind::InvalidRange.into());
        }
        let backend = self.backend().await?;
        let (object, body) = retry(self.0.settings.timeout, || backend.get(key, range.clone(), None)).await?;
        let whole = 0..object.size;
        let wanted = range.map_or(whole.clone(), |range| range.start..range.end.min(object.size));
        let reading = Reading {
            storage: self.clone(),
            digest: (wanted == whole).then(Digest::default),
            object: Arc::new(object.clone()),
            wanted,
            body,
        };
        Ok((object, stream::try_unfold(reading, Reading::next)))
    }
}

struct Reading {
    storage: Storage,
    object: Arc<Object>,
    /// What is still to come.
    wanted: Range<u64>,
    body: Body,
    /// Of a whole object.
    digest: Option<Digest>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let chunk = loop {
            let deadline = self.storage.0.settings.timeout;
            let chunk = timeout(deadline / 2, self.body.next()).await;
            match chunk.unwrap_or_else(|_| Some(Err(Kind::Timeout.into()))) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => break chunk,
                None if self.wanted.is_empty() => return self.verified().map(|()| None),
                // A body that ends early is an interruption too.
                None => self.reopen().await?,
                Some(Err(error)) if error.is_transient() && !self.wanted.is_empty() => self.reopen().await?,
                Some(Err(error)) => return Err(error),
            }
        };
        if chunk.len() as u64 > self.wanted.end - self.wanted.start {
            return Err(Kind::Corrupt.into());
        }
        self.wanted.start += chunk.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk);
        }
        Ok(Some((chunk, self)))
    }

    /// The rest of the same object, and of no other that has its name by now.
    async fn reopen(&mut self) -> Result<(), Error> {
        let backend = self.storage.backend().await?;
        let etag = self.object.etag.as_deref();
        let (object, body) = retry(self.storage.0.settings.timeout, || {
            backend.get(&self.object.key, Some(self.wanted.clone()), etag)
        })
        .await?;
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
        let kept: Option<Crc32c> = self.object.crc32c;
        let right = match self.object.sha256 {
            Some(kept) => kept == sha256,
            None => kept.is_none_or(|kept| kept == crc32c),
        };
        if right { Ok(()) } else { Err(Kind::Corrupt.into()) }
    }
}
