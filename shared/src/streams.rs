//! Durable streams: logs in Postgres, each at a path, that any number of processes append to and read.

mod append;
mod create;
mod position;
mod read;
mod refusal;

use crate::{config::Env, database::Database, deadline::Deadline};
pub use append::{Append, Appended, Producer, Stored};
pub use create::{Create, Created, Expiry, Fork};
pub use position::{Cursor, From, Head, Page, Position, Record};
pub use read::Follow;
pub use refusal::{Error, Refusal};
use std::sync::Arc;

/// The streams of a database. Clones share what they wait for.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    _database: Database,
}

impl Streams {
    /// Reads the settings of streams.
    pub fn from_env(_env: &Env, database: Database) -> Self {
        Self(Arc::new(Inner { _database: database }))
    }

    /// Deletes a stream. One that has forks stays readable through these alone, and its path stays taken.
    ///
    /// # Errors
    /// [`NotFound`](Refusal::NotFound), [`Deleted`](Refusal::Deleted).
    pub async fn delete(&self, deadline: &Deadline, path: &str) -> Result<(), Error> {
        unimplemented!("{deadline:?} {path:?}")
    }
}
