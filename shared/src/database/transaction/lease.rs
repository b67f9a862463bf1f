//! A session of the pool for the time of a transaction.

use crate::database::{Database, reason::logged};
use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use std::ops::{Deref, DerefMut};

/// A session of the pool. It goes back there only when its transaction has ended: sqlx would put back one whose `BEGIN` was
/// dropped halfway, and the next transaction would find itself within that one. Any other session is closed, which cancels
/// its statement and rolls back.
#[derive(Debug)]
pub(super) struct Lease {
    session: Option<PoolConnection<Postgres>>,
    /// Is the session in no transaction?
    pub is_idle: bool,
}

impl Lease {
    /// Takes a session from the pool.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub async fn acquire(database: Database) -> sqlx::Result<Self> {
        let session = match database.pool() {
            Ok(pool) => pool.acquire().await,
            Err(reason) => Err(sqlx::Error::Configuration(reason.into())),
        };
        session.inspect_err(|error| _ = logged(error)).map(|session| Self {
            session: Some(session),
            is_idle: false,
        })
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.session.as_ref().expect("it is taken by `drop` alone")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.session.as_mut().expect("it is taken by `drop` alone")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|_| !self.is_idle) {
            drop(session.detach());
        }
    }
}
