//! Reads.

use super::{
    Cursor, Error, Expiry, From, Head, Page, Position, Record, Refusal, Streams,
    facts::{Facts, refusal, there},
    hub::Woken,
    watched::{LastPage, Reader},
};
use crate::{database::Connection, deadline::Deadline};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long the read of a page may take that readers wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// [`NotFound`](Refusal::NotFound), [`Deleted`](Refusal::Deleted).
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
    /// [`NotFound`](Refusal::NotFound), [`Deleted`](Refusal::Deleted), [`Gone`](Refusal::Gone), [`Beyond`](Refusal::Beyond).
    pub async fn page(&self, deadline: &Deadline, path: &str, from: From, limit: usize) -> Result<Page, Error> {
        let connection = self.0.database.connection(deadline);
        let page = read(&connection, path, from, limit).await?;
        if let Expiry::Ttl(_) = page.head.expiry {
            match renew(&connection, page.head.incarnation).await {
                // A server that takes no writes is read all the same.
                Err(error) if is_read_only(&error) => {}
                renewed => renewed?,
            }
        }
        Ok(page)
    }

    /// Waits until there is more than at the cursor, and returns the next page. Holds no connection while it waits.
    ///
    /// # Errors
    /// [`NotFound`](Refusal::NotFound) and [`Deleted`](Refusal::Deleted) if the stream has gone meanwhile;
    /// [`Gone`](Refusal::Gone) if another one is at its path.
    pub async fn follow(
        &self,
        deadline: &Deadline,
        path: &str,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<Follow, Error> {
        let mut reader = self.0.hub.watch(cursor);
        loop {
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
                page = self.next_page(&reader, path, cursor, limit) => page?,
                // Another reader may be at it for longer.
                () = deadline.ended() => return Ok(Follow::Silent),
            };
            if page.has_news() {
                return Ok(Follow::Page(page));
            }
            // The stream was about to expire, or a standby that has become the server lacks the end.
            self.0.hub.record(cursor.incarnation, |seen| {
                seen.gone = false;
                seen.tail = page.head.tail.end;
                seen.closed = page.head.closed;
            });
        }
    }

    /// The page at the cursor. All readers of this process that are there get the same one. The deadline of none of them is that
    /// of the read: a server that is cut off has not failed.
    async fn next_page(&self, reader: &Reader, path: &str, cursor: &Cursor, limit: usize) -> Result<Arc<Page>, Error> {
        let mut last = reader.stream.last_page.lock().await;
        if let Some(page) = last.as_ref().and_then(|last| last.shared(cursor, limit)) {
            return Ok(page?);
        }
        let deadline = Deadline::default().earlier(Instant::now() + READ_TIMEOUT);
        let connection = self.0.database.connection(&deadline);
        let page = match read(&connection, path, From::At(cursor.at), limit).await {
            Ok(page) if page.head.incarnation == cursor.incarnation => Ok(Arc::new(page)),
            Ok(_) => Err(Refusal::Gone),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(error),
        };
        *last = Some(LastPage {
            cursor: *cursor,
            limit,
            page: page.clone(),
            read_at: Instant::now(),
        });
        Ok(page?)
    }
}

impl LastPage {
    /// The page, if it is for this reader too.
    fn shared(&self, cursor: &Cursor, limit: usize) -> Option<Result<Arc<Page>, Refusal>> {
        let is_same = (&self.cursor, self.limit) == (cursor, limit);
        let has_news = self.page.as_ref().map_or(true, |page| page.has_news());
        (is_same && has_news).then(|| self.page.clone())
    }
}

impl Page {
    fn has_news(&self) -> bool {
        self.head.closed || !self.records.is_empty()
    }
}

async fn read(connection: &Connection, path: &str, from: From, limit: usize) -> Result<Page, Error> {
    let (start, at) = match from {
        From::Start => ("first", None),
        From::At(position) => ("at", Some(position)),
        From::Tail => ("tail", None),
    };
    let row = sqlx::query!(
        r#"SELECT p.verdict AS "verdict!", f.*, p.begins_at,
            streams.incarnation(p.stream, p.begins_at) AS begins_in, r.incarnations, r.positions, r.bytes
        FROM streams.page($1, $2, $3, $4, $5) p, streams.facts(p.stream) f, LATERAL (
            SELECT array_agg(r.stream) AS incarnations, array_agg(r.position) AS positions, string_agg(r.data, '') AS bytes
            FROM (
                SELECT r.* FROM unnest(p.sources, p.afters, p.uptos) s (source, after, upto), LATERAL (
                    SELECT r.* FROM streams.records r
                    WHERE r.stream = s.source AND r.position > s.after AND r.position <= s.upto ORDER BY r.position
                ) r ORDER BY r.position
            ) r
        ) r"#,
        path,
        start,
        at.map(|at| at.incarnation),
        at.map(|at| at.end),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_one(connection)
    .await?;
    if row.verdict != "ok" {
        return Err(refusal(&row.verdict));
    }
    let positions = row.positions.unwrap_or_default();
    let bytes = row.bytes.unwrap_or_default();
    let begin = Position {
        incarnation: there(row.begins_in)?,
        end: there(row.begins_at)?,
    };
    let end = positions.last().copied().unwrap_or(begin.end);
    if Some(end - begin.end) != i64::try_from(bytes.len()).ok() {
        // Nobody was given a position within a record.
        return Err(Error::Refused(Refusal::Beyond));
    }
    let positions = row.incarnations.unwrap_or_default().into_iter().zip(positions);
    let records = records(positions, begin.end, bytes.into());
    let facts = Facts {
        verdict: row.verdict,
        incarnation: row.incarnation,
        tail_incarnation: row.tail_incarnation,
        tail: row.tail,
        content_type: row.content_type,
        closed: row.closed,
        ttl: row.ttl,
        expires_at: row.expires_at,
    };
    let head = facts.head()?;
    let next = records.last().map_or(head.tail, |record| record.position);
    Ok(Page {
        head,
        begin,
        records,
        next,
    })
}

/// Cuts the bytes of records, which follow each other from a position on.
fn records(positions: impl Iterator<Item = (i64, i64)>, begins_at: i64, mut bytes: Bytes) -> Vec<Record> {
    let mut begin = begins_at;
    let record = |(incarnation, end)| {
        let length = usize::try_from(end - begin).unwrap_or_default().min(bytes.len());
        begin = end;
        Record {
            position: Position { incarnation, end },
            data: bytes.split_to(length),
        }
    };
    positions.map(record).collect()
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

fn is_read_only(error: &sqlx::Error) -> bool {
    const READ_ONLY: &str = "25006";
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(READ_ONLY)
}
