//! Durable streams: logs in Postgres, each at a path, that any number of processes append to and read.

mod append;
mod batch;
mod bell;
mod create;
mod delete;
mod facts;
mod feed;
mod gather;
mod hub;
mod next_page;
mod page;
mod position;
mod queue;
mod read;
mod refusal;
mod settings;
mod stream;
mod sweep;
mod watched;

use crate::{
    config::Env,
    database::{
        Database,
        sqlstate::{DEADLOCK, sqlstate},
    },
};
pub use append::{Append, Appended, Form, Producer, Stored};
pub use create::{Create, Created, Expiry, Fork};
use futures_util::future::BoxFuture;
use gather::Gather;
use hub::Hub;
pub use position::{Cursor, Head, Page, Position, ReadFrom, Record};
pub use read::Follow;
pub use refusal::{Error, Refusal};
use settings::Limits;
use std::sync::Arc;
pub use sweep::{Retention, delete_ended};

/// The streams of a database. Clones share what they wait for.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    database: Database,
    limits: Limits,
    gather: Arc<Gather>,
    hub: Arc<Hub>,
}

impl Streams {
    /// Reads `DATABASE_DIRECT_URL`, `STREAM_MAX_PRODUCERS` (1000 of a stream), `STREAM_MAX_STREAMS` (no limit) and
    /// `STREAM_SLEEP_AFTER` (5 min).
    pub fn from_env(env: &Env, database: Database) -> Self {
        let limits = Limits::from_env(env);
        let hub = Hub::new(env, database.clone());
        Self(Arc::new(Inner {
            gather: Gather::new(database.clone(), Arc::clone(&hub), limits.producers),
            hub,
            limits,
            database,
        }))
    }
}

/// Repeats a statement that locks several streams after a deadlock, which has undone it.
///
/// A future in a box: those of async closures that borrow are not known to be `Send`, as handlers need them.
async fn repeated<'a, T>(statement: impl Fn() -> BoxFuture<'a, sqlx::Result<T>>) -> sqlx::Result<T> {
    const ATTEMPTS: usize = 3;
    for _ in 1..ATTEMPTS {
        match statement().await {
            Err(error) if sqlstate(&error) == DEADLOCK => {}
            done => return done,
        }
    }
    statement().await
}
