//! The memory that pages have, over all readers of the process: those that take their pages slowly cannot fill it.

use bytes::Bytes;
use shared::{
    deadline::Deadline,
    problem::{OVERLOADED, Problem},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

const MIB: usize = 1 << 20;
/// How much there is. A page that is still to be read counts as the largest.
const MEMORY: usize = 32 * MIB;
/// How long a request waits for its part, and when a client that got none may try again.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is left of it, in KiB.
#[derive(Clone)]
pub struct Memory(Arc<Semaphore>);

/// A part of it, until it is dropped.
pub struct Part(OwnedSemaphorePermit);

impl Memory {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(kib(MEMORY))))
    }

    /// A part for a page of so many bytes, as soon as it is there.
    pub async fn part(&self, bytes: usize) -> Part {
        let count = u32::try_from(kib(bytes.min(MEMORY))).expect("a page is not so large");
        let part = Arc::clone(&self.0).acquire_many_owned(count).await;
        Part(part.expect("nobody closes it"))
    }

    /// The same for a request.
    ///
    /// # Errors
    /// [`OVERLOADED`]: other readers have it all, and take their time.
    pub async fn part_in_time(&self, bytes: usize, deadline: &Deadline) -> Result<Part, Problem> {
        let end = deadline.cap(Instant::now() + PATIENCE);
        let part = timeout_at(end, self.part(bytes)).await;
        part.map_err(|_| Problem::new(&OVERLOADED).retry_after(RETRY_AFTER))
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

impl Part {
    /// Gives back what a page of so many bytes does not need.
    pub fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(kib(bytes));
        drop(self.0.split(surplus));
    }

    /// The bytes, with their part of the memory for as long as somebody has them.
    pub fn around(self, bytes: Bytes) -> Bytes {
        struct Owner(Bytes, #[expect(dead_code, reason = "held")] Part);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Owner(bytes, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_is_free_again_when_its_bytes_are_gone() {
        let memory = Memory::new();
        let mut parts = Vec::new();
        for _ in 0..MEMORY / MIB {
            parts.push(memory.part(MIB).await);
        }
        let full = memory.part_in_time(1, &Deadline::default()).await;
        assert_eq!(full.err().unwrap().slug(), Some("overloaded"));
        let mut part = parts.pop().unwrap();
        part.shrink(MIB / 2);
        let half = memory.part_in_time(MIB / 2, &Deadline::default()).await;
        let bytes = part.around("page".into());
        let clone = bytes.clone();
        drop(bytes);
        assert!(memory.part_in_time(1, &Deadline::default()).await.is_err());
        drop(clone);
        assert!(memory.part_in_time(MIB / 2, &Deadline::default()).await.is_ok());
        drop(half);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_all_gets_all() {
        let memory = Memory::new();
        let part = memory.part_in_time(2 * MEMORY, &Deadline::default()).await;
        assert!(part.is_ok());
        assert!(memory.part_in_time(1, &Deadline::default()).await.is_err());
    }
}
