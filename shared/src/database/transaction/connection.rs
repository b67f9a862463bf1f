//! Single statements, each a transaction of its own.

use super::{Fate, before, end_of, failure::Failure, query::Query};
use crate::{
    database::{Database, proxy::Prefix},
    deadline::{Deadline, margin},
};
use futures_util::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Either, Execute, Executor, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::fmt;
use tokio::time::Instant;

/// Executes single statements: `query.fetch_one(&database.connection(&deadline))`. Clones share their sessions.
#[derive(Clone)]
pub struct Connection {
    database: Database,
    deadline: Deadline,
}

type Answer = Either<PgQueryResult, PgRow>;

impl Database {
    /// A connection for single statements, each of which is a transaction of its own, in one round trip. A session of the
    /// pool is taken for each statement, and is back there before its first row is.
    ///
    /// A statement ends at the deadline, and after 30 s at most, also in the server if this process is killed or frozen.
    /// Dropping its future cancels it. It is never repeated: after the loss of the session it is unknown whether it was
    /// stored.
    ///
    /// Works through PgBouncer in transaction mode: the timeout and the SQL are parts of each request.
    pub fn connection(&self, deadline: &Deadline) -> Connection {
        Connection {
            database: self.clone(),
            deadline: deadline.clone(),
        }
    }
}

impl Connection {
    async fn answers(self, query: Query) -> sqlx::Result<Vec<Answer>> {
        let end = end_of(&self.deadline);
        before(end, self.answers_before(end, query)).await
    }

    async fn answers_before(self, end: Instant, query: Query) -> sqlx::Result<Vec<Answer>> {
        let mut session = self.database.lend(Fate::Closed).await?;
        let left = end.saturating_duration_since(Instant::now());
        session.handle().prefix(Prefix::Timeout(end - margin(left).min(left)));
        let (sql, mut failure) = (query.sql.clone(), None);
        let answers = session.fetch_many(query).try_collect().await;
        Failure::record(&mut failure, &answers, &sql);
        // Any other error may have left a part of the answer in the session.
        let is_answered = answers
            .as_ref()
            .map_or_else(|error| error.as_database_error().is_some(), |_| true);
        if is_answered && failure != Some(Failure::Lost) {
            // sqlx hands over an error before the end of its answer, and only a session that is idle is kept.
            session.handle().settled().await;
            session.decide(Fate::Kept);
        }
        answers
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl<'c> Executor<'c> for &'c Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Answer>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = self
            .clone()
            .answers(Query::new(query))
            .map_ok(|answers| stream::iter(answers).map(Ok));
        stream::once(answers).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        'q: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = self.clone().answers(Query::new(query));
        answers
            .map_ok(|answers| answers.into_iter().find_map(Either::right))
            .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let prepare = async move {
            let mut session = self.database.lend(Fate::Closed).await?;
            session.prepare_with(sql, parameters).await
        };
        before(end_of(&self.deadline), prepare).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        let describe = async move { self.database.lend(Fate::Closed).await?.describe(sql).await };
        before(end_of(&self.deadline), describe).boxed()
    }
}
