//! A session that is lent, and those that are not.

use super::{MAX_UNUSED, Open};
use crate::database::proxy::Handle;
use sqlx::PgConnection;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

/// A session of the pool, which it goes back to when this is dropped: unless it is in a transaction, or its server has not
/// answered. Then it is closed, which cancels its statement and rolls back.
pub struct Session {
    /// Taken by `drop` alone.
    open: Option<Open>,
    fate: Fate,
    unused: Arc<Unused>,
    /// Given back after the session.
    _permit: OwnedSemaphorePermit,
}

/// What becomes of a session when it is dropped.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(in crate::database) enum Fate {
    /// It is closed: it may be in the middle of something.
    Closed,
    /// It is kept if it is idle. It is in the middle of nothing.
    Kept,
    /// It is kept if it is idle, and asked for a sign of life before it is lent again.
    Asked,
}

impl Session {
    pub(super) fn new(open: Open, fate: Fate, unused: &Arc<Unused>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            open: Some(open),
            fate,
            unused: Arc::clone(unused),
            _permit: permit,
        }
    }

    /// What becomes of the session when it is dropped.
    pub(in crate::database) fn decide(&mut self, fate: Fate) {
        self.fate = fate;
    }

    pub(in crate::database) fn handle(&self) -> &Handle {
        &self.open.as_ref().expect("it is taken by `drop` alone").handle
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.open.as_ref().expect("it is taken by `drop` alone").connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.open.as_mut().expect("it is taken by `drop` alone").connection
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let open = self.open.take();
        if let Some(mut open) = open.filter(|open| self.fate != Fate::Closed && open.handle.is_idle()) {
            open.handle.prefix(super::Prefix::None);
            open.is_settled = self.fate == Fate::Kept;
            open.used = Instant::now();
            self.unused.push(open);
        }
    }
}

/// The sessions that nobody uses, the last one that was used at the end.
#[derive(Default)]
pub(super) struct Unused(Mutex<Vec<Open>>);

impl Unused {
    /// The last one that was used, so that others grow old and are closed.
    pub fn pop(&self) -> Option<Open> {
        self.lock().pop()
    }

    fn push(&self, open: Open) {
        self.lock().push(open);
    }

    /// Closes all.
    pub fn close(&self) {
        self.lock().clear();
    }

    /// Closes those that were not used for long.
    pub async fn close_old(self: Arc<Self>) {
        loop {
            sleep(Duration::from_secs(60)).await;
            self.lock().retain(|open| open.used.elapsed() < MAX_UNUSED);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
