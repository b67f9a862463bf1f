//! Reads.

use super::{
    Cursor, Error, Expiry, Head, Page, ReadFrom, Streams,
    facts::{Facts, refusal},
    page::read,
    stream::Woken,
};
use crate::{
    database::{
        Connection,
        sqlstate::{READ_ONLY, sqlstate},
    },
    deadline::Deadline,
};
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
        let facts = sqlx::query_as!(
            Facts,
            r#"SELECT h.verdict AS "verdict!", f.* FROM streams.head($1) h, streams.facts(h.stream) f"#,
            path
        );
        let facts = facts.fetch_one(&self.0.database.connection(deadline)).await?;
        match &*facts.verdict {
            "ok" => facts.head(),
            verdict => Err(refusal(verdict)),
        }
    }

    /// The records after a position: as many as fit in `limit` bytes, and at least one if there is one. Renews the time that
    /// the stream has to live.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted), [`Gone`](super::Refusal::Gone),
    /// [`Beyond`](super::Refusal::Beyond).
    pub async fn page(&self, deadline: &Deadline, path: &str, from: ReadFrom, limit: usize) -> Result<Page, Error> {
        let connection = self.0.database.connection(deadline);
        let page = read(&connection, path, from, limit).await?;
        if let Expiry::Ttl(_) = page.head.expiry {
            match renew(&connection, page.head.incarnation).await {
                // A server that takes no writes is read all the same.
                Err(error) if sqlstate(&error) == READ_ONLY => {}
                renewed => renewed?,
            }
        }
        Ok(page)
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
        let mut reader = self.0.hub.watch(cursor);
        loop {
            reader.stream.wait_at(path, cursor, limit);
            let woken = tokio::select! {
                biased;
                woken = reader.more_than(cursor.at.end) => woken,
                () = deadline.ended() => return Ok(Follow::Silent),
            };
            if woken == Woken::Asleep {
                return Ok(Follow::Asleep);
            }
            let page = tokio::select! {
                biased;
                page = self.0.hub.page_at(&reader.stream, path, cursor, limit) => page?,
                // Another reader may be at it for longer.
                () = deadline.ended() => return Ok(Follow::Silent),
            };
            if page.has_news() {
                return Ok(Follow::Page(page));
            }
            self.0.hub.record(cursor.incarnation, |seen| seen.take_back(&page.head));
        }
    }

    /// Whether readers at this cursor were sent away ([`Asleep`](Follow::Asleep)), and this process knows of nothing that has
    /// happened since: one who comes back may be sent away again, so that the database is not asked for minutes.
    pub fn is_asleep(&self, cursor: &Cursor) -> bool {
        self.0.hub.is_asleep(cursor)
    }
}

/// Renews the time that a stream has to live when a tenth of it has passed. An append that has locked the stream renews it, too.
async fn renew(connection: &Connection, stream: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE streams.streams SET expires_at = clock_timestamp() + make_interval(secs => ttl)
        WHERE id = (
            SELECT id FROM streams.streams
            WHERE id = $1 AND live AND expires_at > clock_timestamp()
                AND expires_at < clock_timestamp() + make_interval(secs => ttl * 0.9)
            FOR NO KEY UPDATE SKIP LOCKED
        )",
        stream
    )
    .execute(connection)
    .await
    .map(drop)
}
