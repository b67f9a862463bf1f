//! Reads.

use super::{
    Cursor, Error, Expiry, Head, Page, Position, ReadFrom, Record, Refusal, Streams,
    facts::{Facts, refusal, there},
    hub::Woken,
};
use crate::{
    database::{
        Bytea, Connection,
        sqlstate::{READ_ONLY, sqlstate},
    },
    deadline::Deadline,
};
use bytes::Bytes;
use std::sync::Arc;

/// How many records make a page full, and how many each row of the statement below has at most: records of a byte would otherwise
/// take a hundred times their bytes.
const MOST: usize = 16_384;

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

pub(super) async fn read(connection: &Connection, path: &str, from: ReadFrom, limit: usize) -> Result<Page, Error> {
    let (start, at) = match from {
        ReadFrom::Start => ("first", None),
        ReadFrom::At(position) => ("at", Some(position)),
        ReadFrom::Tail => ("tail", None),
    };
    // Each row has the facts of the stream, and a piece of the page if there is one.
    let mut rows = sqlx::query!(
        r#"SELECT p.verdict AS "verdict!", f.*, p.begins_at, streams.incarnation(p.stream, p.begins_at) AS begins_in,
            r.source AS "source?", r.upto AS "upto?", r.positions, r.bytes AS "bytes: Bytea"
        FROM streams.page($1, $2, $3, $4, $5) p CROSS JOIN streams.facts(p.stream) f LEFT JOIN LATERAL (
            SELECT s.source, s.upto, r.positions, r.bytes
            FROM unnest(p.sources, p.afters, p.uptos) s (source, after, upto), LATERAL (
                SELECT array_agg(r.position) AS positions, string_agg(r.data, '') AS bytes
                FROM (
                    SELECT r.* FROM streams.records r
                    WHERE r.stream = s.source AND r.position > s.after AND r.position <= s.upto ORDER BY r.position LIMIT 16384
                ) r
            ) r WHERE r.bytes IS NOT NULL
        ) r ON true"#,
        path,
        start,
        at.map(|at| at.incarnation),
        at.map(|at| at.end),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    // A sort in the server would copy each byte.
    rows.sort_by_key(|row| row.upto);
    let first = there(rows.first())?;
    if first.verdict != "ok" {
        return Err(refusal(&first.verdict));
    }
    let begin = Position {
        incarnation: there(first.begins_in)?,
        end: there(first.begins_at)?,
    };
    let (mut records, mut end) = (Vec::new(), begin.end);
    for row in &mut rows {
        if records.len() >= MOST {
            break;
        }
        if let (Some(source), Some(ends), Some(Bytea(bytes))) = (row.source, row.positions.take(), row.bytes.take()) {
            records.extend(cut(source, end, &ends, bytes)?);
            end = ends.last().copied().unwrap_or(end);
        }
    }
    records.truncate(MOST);
    let row = rows.swap_remove(0);
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

/// Cuts the bytes after a position into the records that end at others.
fn cut(incarnation: i64, mut begin: i64, ends: &[i64], mut bytes: Bytes) -> Result<Vec<Record>, Error> {
    let length = ends.last().map_or(0, |end| end - begin);
    if i64::try_from(bytes.len()) != Ok(length) {
        // Nobody was given a position within a record.
        return Err(Error::Refused(Refusal::Beyond));
    }
    let record = |end| {
        let length = usize::try_from(end - begin).unwrap_or_default().min(bytes.len());
        begin = end;
        Record {
            position: Position { incarnation, end },
            data: bytes.split_to(length),
        }
    };
    Ok(ends.iter().copied().map(record).collect())
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
