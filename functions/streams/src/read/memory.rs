//! The memory that pages have, over all readers of the process. Clients that take their pages slowly cannot fill it, and no caller
//! has more of it than is left for the others.

use bytes::Bytes;
use shared::{callers::Caller, deadline::Deadline};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

const MIB: usize = 1 << 20;
/// How much there is.
const MEMORY: usize = 32 * MIB;
/// A page gets this part of what its caller may still have, at most: many slow readers have small pages, and leave some for others.
const PART: usize = 8;
/// How many bytes a page has at most, unless one append is larger: while nobody has another page.
pub const LARGEST_PAGE: usize = MEMORY / 2 / PART;
/// A page of so many bytes is always there, and counts as nothing: its connection costs as much.
pub const FREE: usize = 16 << 10;
/// How long a request waits for its permit.
const PATIENCE: Duration = Duration::from_secs(5);

/// The memory, as a caller may use it.
#[derive(Clone)]
pub struct PageMemory {
    all: Arc<All>,
    caller: Arc<str>,
}

struct All {
    taken: Mutex<Taken>,
    freed: Notify,
}

/// How many bytes are taken, and by whom.
#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Arc<str>, usize>,
}

/// A permit for a page of so many bytes, until it is dropped.
pub struct Permit {
    memory: PageMemory,
    bytes: usize,
}

/// Other readers have so much of the memory that these bytes are not left, and take their time.
pub struct Full(pub usize);

impl PageMemory {
    /// The whole budget; [`Self::of`] narrows it to a caller.
    pub fn new() -> Self {
        let (taken, freed) = (Mutex::default(), Notify::new());
        let all = Arc::new(All { taken, freed });
        Self { all, caller: "".into() }
    }

    /// The same memory for this caller.
    pub fn of(&self, caller: &Caller) -> Self {
        self.named(caller.subject_hash())
    }

    fn named(&self, caller: &str) -> Self {
        Self {
            all: Arc::clone(&self.all),
            caller: caller.into(),
        }
    }

    /// How many bytes a page should have now, of those that are wanted.
    pub fn limit(&self, wanted: usize) -> usize {
        let most = self.taken().room(&self.caller) / PART;
        wanted.min(most.max(FREE))
    }

    /// A permit for a page of so many bytes, if it is free.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let bytes = counted(bytes);
        let is_free = self.taken().take(&self.caller, bytes);
        is_free.then(|| Permit {
            memory: self.clone(),
            bytes,
        })
    }

    /// A permit for the first of these sizes that is free, else an empty one.
    pub fn first_that_fits<const N: usize>(&self, sizes: [usize; N]) -> Permit {
        let permit = sizes.into_iter().find_map(|bytes| self.try_acquire(bytes));
        permit.unwrap_or_else(|| Permit {
            memory: self.clone(),
            bytes: 0,
        })
    }

    /// A permit for a page of so many bytes as soon as it is free.
    ///
    /// # Errors
    /// [`Full`], after a while.
    pub async fn acquire(&self, bytes: usize, deadline: &Deadline) -> Result<Permit, Full> {
        let end = deadline.cap(Instant::now() + PATIENCE);
        let permit = async {
            loop {
                let freed = self.all.freed.notified();
                if let Some(permit) = self.try_acquire(bytes) {
                    return permit;
                }
                freed.await;
            }
        };
        timeout_at(end, permit).await.map_err(|_| Full(bytes))
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.taken().give_back(&self.caller, bytes);
            self.all.freed.notify_waiters();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.all.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn by(&self, caller: &str) -> usize {
        self.by.get(caller).copied().unwrap_or_default()
    }

    /// How much the caller may still take, so that no more is taken by it than is left.
    fn room(&self, caller: &str) -> usize {
        (MEMORY - self.all).saturating_sub(self.by(caller)) / 2
    }

    /// `false` if it is not there. What a caller takes alone may be all that is left: appends are not divided.
    fn take(&mut self, caller: &Arc<str>, bytes: usize) -> bool {
        let most = match self.by(caller) {
            0 => MEMORY - self.all,
            _ => self.room(caller),
        };
        if bytes > most {
            return false;
        }
        if bytes > 0 {
            self.all += bytes;
            *self.by.entry(Arc::clone(caller)).or_default() += bytes;
        }
        true
    }

    fn give_back(&mut self, caller: &str, bytes: usize) {
        self.all -= bytes;
        let Some(taken) = self.by.get_mut(caller) else { return };
        *taken -= bytes;
        if *taken == 0 {
            self.by.remove(caller);
        }
    }
}

/// What a page of so many bytes takes of the memory.
fn counted(bytes: usize) -> usize {
    if bytes > FREE { bytes.min(MEMORY) } else { 0 }
}

impl Permit {
    /// Gives back what a page of so many bytes does not need, and says whether the permit is enough.
    pub fn fit(&mut self, bytes: usize) -> bool {
        let (has, counted) = (self.bytes, counted(bytes));
        self.bytes = has.min(counted);
        self.memory.give_back(has - self.bytes);
        has >= counted
    }

    /// Whether the permit is empty: for a page that counts as nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes, with their permit for as long as somebody has them.
    pub fn around(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        struct Owner(Bytes, #[expect(dead_code, reason = "held")] Arc<Permit>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Owner(bytes, Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests;
