//! Transactions: bounded by a deadline, repeated after a conflict, rolled back when their future is dropped.

mod connection;
mod executor;
mod failure;
mod query;

use super::{Database, QUERY_TIMEOUT, Session, pool::Fate, proxy::Prefix, reason::logged};
use crate::{
    deadline::{Deadline, margin},
    random,
};
pub use connection::Connection;
use failure::Failure;
pub use failure::violation;
use futures_util::FutureExt;
use sqlx::Executor;
use std::{io, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long the first repetition waits, at most. Each further one waits for up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);
/// How long the end of a failed transaction may hold up its error.
const ROLLBACK_TIMEOUT: Duration = Duration::from_millis(50);
/// How often a transaction is repeated because its session was lost. The next session may be an old one, too.
const MAX_LOST: u32 = 2;

/// A transaction that has begun. It executes queries: `query.execute(&mut *transaction)`.
#[derive(Debug)]
pub struct Transaction {
    session: Session,
    /// Why the last query failed, if it did. The server then refuses everything but `ROLLBACK` and `ROLLBACK TO`.
    failure: Option<Failure>,
}

impl Database {
    /// Lends a session of the pool, for what [`connection`](Self::connection) and [`transaction`](Self::transaction) do not
    /// offer, such as COPY. A query that takes longer than 30 s, or answers with more than 32 MiB, is cancelled; so is one
    /// whose future is dropped, with its session. Its failures are not logged.
    ///
    /// # Errors
    /// Why there is no session by the deadline, or within 5 s. It has been logged.
    pub async fn session(&self, deadline: &Deadline) -> sqlx::Result<Session> {
        before(end_of(deadline), self.lend(Fate::Asked)).await
    }

    async fn lend(&self, fate: Fate) -> sqlx::Result<Session> {
        match self.pool() {
            Ok(pool) => pool.lend(fate).await,
            Err(reason) => {
                let error = sqlx::Error::Configuration(reason.into());
                logged(&error);
                Err(error)
            }
        }
    }

    /// Runs `work` in a transaction and commits it if `work` returns `Ok`. Otherwise nothing is stored.
    ///
    /// `work` runs again, in a new transaction, after a serialization failure (40001), a deadlock (40P01), or the loss of
    /// the session before the commit; until the deadline, or for 30 s at most. It must change nothing but rows.
    ///
    /// The server itself ends a statement, or a transaction in which nothing happens, at the deadline, so that no lock stays
    /// when this process is killed or frozen. Dropping the future cancels the statement and rolls back.
    ///
    /// Works through PgBouncer in transaction mode: all settings are `LOCAL`.
    ///
    /// # Errors
    /// What `work` returns; or the error of sqlx that kept the transaction from starting or from committing, which has been
    /// logged. After the loss of the session during the commit it is unknown whether the transaction was stored.
    pub async fn transaction<T, E: From<sqlx::Error>>(
        &self,
        deadline: &Deadline,
        mut work: impl AsyncFnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let end = end_of(deadline);
        let mut pause = FIRST_PAUSE;
        let mut lost = 0;
        loop {
            let mut transaction = Transaction::new(before(end, self.lend(Fate::Closed)).await?);
            let done = transaction.run(end, &mut work).await;
            match transaction.failure.filter(|_| Instant::now() < end) {
                Some(Failure::Conflict) => {}
                Some(Failure::Lost) if lost < MAX_LOST => lost += 1,
                _ => return done,
            }
            drop(transaction);
            let pausing = sleep(pause.mul_f64(random::fraction()));
            before(end, pausing.map(Ok::<_, E>)).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn end_of(deadline: &Deadline) -> Instant {
    deadline.cap(Instant::now() + QUERY_TIMEOUT)
}

/// The result of `step`, or an error, which is logged, if there is none by the end.
async fn before<T, E: From<sqlx::Error>>(end: Instant, step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    timeout_at(end, step).await.unwrap_or_else(|_| {
        let late = io::Error::new(io::ErrorKind::TimedOut, "the database has not answered by the deadline");
        let late = sqlx::Error::Io(late);
        logged(&late);
        Err(late.into())
    })
}

impl Transaction {
    fn new(session: Session) -> Self {
        Self { session, failure: None }
    }

    async fn run<T, E: From<sqlx::Error>>(
        &mut self,
        end: Instant,
        work: &mut impl AsyncFnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = before(end, self.attempt(end, work)).await;
        if done.is_err() {
            self.rollback().await;
        }
        done
    }

    async fn attempt<T, E: From<sqlx::Error>>(
        &mut self,
        end: Instant,
        work: &mut impl AsyncFnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(end);
        match work(self).await {
            // The server would answer COMMIT with ROLLBACK, which is not an error of the protocol.
            Ok(_) if self.failure.is_some() => Err(aborted().into()),
            Ok(value) => self.commit().await.map(|()| value).map_err(E::from),
            Err(error) => Err(error),
        }
    }

    /// The first query takes `BEGIN` along.
    fn begin(&mut self, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        self.session.handle().prefix(Prefix::Begin {
            statement: end - margin(left).min(left),
            idle: end,
        });
    }

    async fn commit(&mut self) -> sqlx::Result<()> {
        if self.session.handle().has_not_begun() {
            self.session.decide(Fate::Kept);
            return Ok(());
        }
        let committed = self.execute("COMMIT").await;
        // Whether the server has committed is not known, so a repetition might store everything twice.
        if let Some(Failure::Lost) = self.failure {
            self.failure = Some(Failure::Other);
        }
        if committed.is_ok() {
            self.session.decide(Fate::Kept);
        }
        committed.map(drop)
    }

    /// Makes the session fit for the next transaction. One that does not answer at once, because it is lost or still busy
    /// with a statement, is closed instead.
    async fn rollback(&mut self) {
        let is_idle = self.session.handle().has_not_begun()
            || matches!(
                timeout(ROLLBACK_TIMEOUT, self.session.execute("ROLLBACK")).await,
                Ok(Ok(_))
            );
        if is_idle {
            self.session.decide(Fate::Kept);
        }
    }
}

fn aborted() -> sqlx::Error {
    sqlx::Error::Protocol("a query of this transaction has failed, so nothing of it is stored".to_owned())
}
