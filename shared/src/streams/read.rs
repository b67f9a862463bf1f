//! Reads.

use super::{Cursor, Error, From, Head, Page, Streams};
use crate::deadline::Deadline;
use std::sync::Arc;

/// How a wait for more of a stream has ended.
#[derive(Clone, Debug)]
pub enum Follow {
    /// There is more, or the stream was closed.
    Page(Arc<Page>),
    /// The deadline came.
    Silent,
    /// Nothing has happened for so long that the database is left to sleep. Readers should come back later.
    Asleep,
}

impl Streams {
    /// The facts of a stream.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted).
    pub async fn head(&self, deadline: &Deadline, path: &str) -> Result<Head, Error> {
        unimplemented!("{deadline:?} {path:?}")
    }

    /// The records after a position: as many as fit in `limit` bytes, and at least one if there is one. Renews the time that
    /// the stream has to live.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted), [`Gone`](super::Refusal::Gone),
    /// [`Beyond`](super::Refusal::Beyond).
    pub async fn page(&self, deadline: &Deadline, path: &str, from: From, limit: usize) -> Result<Page, Error> {
        unimplemented!("{deadline:?} {path:?} {from:?} {limit:?}")
    }

    /// Waits until there is more than at the cursor, and returns the next page. Holds no connection while it waits.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound) and [`Deleted`](super::Refusal::Deleted) if the stream has gone meanwhile;
    /// [`Gone`](super::Refusal::Gone) if another one is at its path.
    pub async fn follow(
        &self,
        deadline: &Deadline,
        path: &str,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<Follow, Error> {
        unimplemented!("{deadline:?} {path:?} {cursor:?} {limit:?}")
    }
}
