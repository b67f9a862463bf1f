//! A page, as the database reads it.

use super::{
    Error, Page, Position, ReadFrom, Record, Refusal,
    facts::{Facts, refusal, there},
};
use crate::database::{Bytea, Connection};
use bytes::Bytes;

/// How many records make a page full, and how many each row of the statement below has at most: records of a byte would otherwise
/// take a hundred times their bytes.
const MAX_RECORDS: usize = 16_384;

/// The records after a position, and the facts of the stream.
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
    let pieces = rows
        .iter_mut()
        .filter_map(|row| Some((row.source?, row.positions.take()?, row.bytes.take()?)));
    let records = records(begin.end, pieces)?;
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

/// The records of pieces of a stream: the stream that holds them, where each ends, and the bytes of all.
fn records(mut end: i64, pieces: impl Iterator<Item = (i64, Vec<i64>, Bytea)>) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for (source, ends, Bytea(bytes)) in pieces {
        if records.len() >= MAX_RECORDS {
            break;
        }
        records.extend(cut(source, end, &ends, bytes)?);
        end = ends.last().copied().unwrap_or(end);
    }
    records.truncate(MAX_RECORDS);
    Ok(records)
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
