//! The memory that pages have, over all readers of the process: those that take their pages slowly cannot fill it.

use bytes::Bytes;
use shared::deadline::Deadline;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

const MIB: usize = 1 << 20;
/// How much there is.
const MEMORY: usize = 32 * MIB;
/// A page gets this part of what is left, at most: many slow readers have small pages, and leave some for others.
const SHARE: usize = 16;
/// A page of so many bytes is always there, and counts as nothing: its connection costs as much.
const FREE: usize = 16 << 10;
/// How long a request waits for its part.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is left of it, in KiB.
#[derive(Clone)]
pub struct Memory(Arc<Semaphore>);

/// A part of it, until it is dropped.
pub struct Part(OwnedSemaphorePermit);

/// Other readers have all the memory, and take their time.
pub struct Full;

impl Memory {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(kib(MEMORY))))
    }

    /// How many bytes a page should have now, of those that are wanted.
    pub fn limit(&self, wanted: usize) -> usize {
        let share = self.0.available_permits() * 1024 / SHARE;
        wanted.min(share.max(FREE))
    }

    /// A part for a page of so many bytes, if it is there.
    pub fn part_now(&self, bytes: usize) -> Option<Part> {
        Arc::clone(&self.0)
            .try_acquire_many_owned(counted(bytes))
            .ok()
            .map(Part)
    }

    /// The same as soon as it is there.
    ///
    /// # Errors
    /// [`Full`], after a while.
    pub async fn part(&self, bytes: usize, deadline: &Deadline) -> Result<Part, Full> {
        let end = deadline.cap(Instant::now() + PATIENCE);
        let part = Arc::clone(&self.0).acquire_many_owned(counted(bytes));
        let part = timeout_at(end, part).await.map_err(|_| Full)?;
        Ok(Part(part.expect("nobody closes it")))
    }
}

/// What a page of so many bytes takes of the memory, in KiB.
fn counted(bytes: usize) -> u32 {
    let counted = if bytes > FREE { kib(bytes.min(MEMORY)) } else { 0 };
    u32::try_from(counted).expect("the memory is not so large")
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

impl Part {
    /// Gives back what a page of so many bytes does not need, and says whether the part is enough.
    pub fn fit(&mut self, bytes: usize) -> bool {
        let (has, counted) = (self.0.num_permits(), counted(bytes) as usize);
        drop(self.0.split(has.saturating_sub(counted)));
        has >= counted
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

    async fn is_full(memory: &Memory, bytes: usize) -> bool {
        memory.part(bytes, &Deadline::default()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_free_again_when_its_bytes_are_gone() {
        let memory = Memory::new();
        let mut parts: Vec<Part> = (0..MEMORY / MIB).map(|_| memory.part_now(MIB).unwrap()).collect();
        assert!(is_full(&memory, FREE + 1).await);
        let mut part = parts.pop().unwrap();
        assert!(part.fit(MIB / 2));
        let half = memory.part_now(MIB / 2).unwrap();
        let bytes = part.around("page".into());
        let clone = bytes.clone();
        drop(bytes);
        assert!(is_full(&memory, FREE + 1).await);
        drop(clone);
        assert!(!is_full(&memory, MIB / 2).await);
        drop(half);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_all_gets_all() {
        let memory = Memory::new();
        let all = memory.part_now(2 * MEMORY);
        assert!(all.is_some() && is_full(&memory, FREE + 1).await);
    }

    #[test]
    fn pages_shrink_with_what_is_left_and_never_end() {
        let memory = Memory::new();
        let mut parts = Vec::new();
        let mut limits = Vec::new();
        for _ in 0..1000 {
            let limit = memory.limit(MIB);
            parts.push(memory.part_now(limit).expect("there is always a page"));
            limits.push(limit);
        }
        assert_eq!((limits[0], limits[15], limits[999]), (MIB, MIB, FREE));
        assert!(limits.is_sorted_by(|one, next| one >= next), "{limits:?}");
    }

    #[test]
    fn a_part_that_is_too_small_says_so() {
        let memory = Memory::new();
        assert!(memory.part_now(FREE).unwrap().fit(FREE));
        assert!(!memory.part_now(FREE).unwrap().fit(MIB));
    }
}
