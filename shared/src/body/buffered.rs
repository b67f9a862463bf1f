//! Whole bodies in memory, of which all requests together have a limited amount.

use super::BodyError;
use crate::problem::Problem;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use http_body_util::BodyExt;
use std::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How many bytes of bodies may be in memory at once, over all requests of the process.
const MEMORY: usize = 32 << 20;
/// When a client that found it full may try again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A whole body: an argument of handlers whose route takes [`super::stream`].
///
/// Over all requests of the process, 32 MiB of bodies are in memory at most: more are answered
/// [`OVERLOADED`](crate::problem::OVERLOADED).
#[derive(Debug, Default)]
pub struct Buffered {
    bytes: Vec<u8>,
    /// How much of [`BUFFERED`] it is.
    counted: usize,
}

/// The memory that all bodies have, in bytes.
static BUFFERED: AtomicUsize = AtomicUsize::new(0);

impl<S: Sync> FromRequest<S> for Buffered {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::read(request.into_body()).await
    }
}

impl Buffered {
    pub(super) async fn read(mut body: Body) -> Result<Self, Problem> {
        let mut read = Self::default();
        while let Some(frame) = body.frame().await {
            // Copied: a small frame would keep the read buffer of its connection alive.
            if let Ok(data) = frame?.into_data() {
                read.push(&data)?;
            }
        }
        Ok(read)
    }

    /// The body with other bytes, which are counted in place of its own.
    #[must_use]
    pub fn replaced(mut self, bytes: Vec<u8>) -> Self {
        BUFFERED.fetch_add(bytes.capacity(), Ordering::Relaxed);
        BUFFERED.fetch_sub(self.counted, Ordering::Relaxed);
        self.counted = bytes.capacity();
        self.bytes = bytes;
        self
    }

    fn push(&mut self, data: &[u8]) -> Result<(), BodyError> {
        self.bytes.extend_from_slice(data);
        let grown = self.bytes.capacity() - self.counted;
        self.counted += grown;
        let before = BUFFERED.fetch_add(grown, Ordering::Relaxed);
        if before + grown > MEMORY {
            return Err(BodyError::Overloaded);
        }
        Ok(())
    }
}

impl Deref for Buffered {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Buffered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        BUFFERED.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_in_memory_are_counted_and_too_many_are_refused() {
        let before = BUFFERED.load(Ordering::Relaxed);
        let mut body = Buffered::default();
        body.push(&[0; 1000]).unwrap();
        assert!(BUFFERED.load(Ordering::Relaxed) >= before + 1000);
        let mut large = Buffered::default();
        assert_eq!(large.push(&vec![0; MEMORY + 1]), Err(BodyError::Overloaded));
        let body = body.replaced(vec![1; 3000]);
        assert_eq!(*body, [1; 3000]);
        assert!(BUFFERED.load(Ordering::Relaxed) >= before + 3000);
        drop((body, large));
        assert_eq!(BUFFERED.load(Ordering::Relaxed), before);
    }
}
