//! Forks: a new stream that begins with the data of another one (section 4.2).

use crate::{
    Log,
    header::{self, STREAM_FORK_OFFSET, STREAM_FORK_SUB_OFFSET, STREAM_FORKED_FROM},
    json,
    media_type::Kind,
    offset::Offset,
    path::StreamPath,
    problem::{self, invalid_header},
};
use axum::http::HeaderMap;
use bytes::Bytes;
use shared::{
    deadline::Deadline,
    problem::Problem,
    streams::{Error, Fork, ReadFrom, Refusal},
};
use std::str;

/// The fork that a request asks for, if any.
///
/// # Errors
/// A header does not fit.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Fork>, Problem> {
    let source = header::text(headers, &STREAM_FORKED_FROM)?;
    let at = header::text(headers, &STREAM_FORK_OFFSET)?;
    let sub_offset = header::number(headers, &STREAM_FORK_SUB_OFFSET, i64::MAX as u64)?;
    let Some(source) = source else {
        let alone = |name, is_there: bool| is_there.then(|| invalid_header(name, "it needs Stream-Forked-From"));
        let alone = alone(&STREAM_FORK_OFFSET, at.is_some()).or(alone(&STREAM_FORK_SUB_OFFSET, sub_offset.is_some()));
        return alone.map_or(Ok(None), Err);
    };
    let source = StreamPath::from_url_path(source);
    let source = source.map_err(|why| invalid_header(&STREAM_FORKED_FROM, &why.to_string()))?;
    let at = at.map(str::parse::<Offset>).transpose();
    let at = at.map_err(|why| invalid_header(&STREAM_FORK_OFFSET, why))?;
    Ok(Some(Fork {
        source: source.as_str().to_owned(),
        at: at.map(|Offset(from)| from),
        sub_offset: sub_offset.unwrap_or(0),
        prefix: None,
    }))
}

/// Copies what the sub-offset names: the beginning of the append after the fork's offset becomes the fork's first record.
/// Records never change, so that it may be read before the fork is made, at the position that it was read from: by then, the
/// start may be that of another stream. Where there is no record, the fork is refused, unless it exists already.
pub async fn read_prefix(log: &Log, deadline: &Deadline, fork: &mut Fork) -> Result<(), Problem> {
    const ONE_RECORD: usize = 1;
    if fork.sub_offset == 0 {
        return Ok(());
    }
    let at = fork.at.unwrap_or(ReadFrom::Tail);
    let page = log.streams.page(deadline, &fork.source, at, ONE_RECORD).await;
    let page = match page {
        Ok(page) => page,
        Err(Error::Refused(_)) => return Ok(()),
        Err(error) => return Err(problem::of(error)),
    };
    let next = page.records.first();
    fork.prefix = next.and_then(|next| prefix(Kind::of(&page.head.content_type), &next.data, fork.sub_offset));
    fork.at = next.map(|_| ReadFrom::At(page.begin)).or(fork.at);
    Ok(())
}

/// The first bytes of a record, or its first messages; `None` if it has fewer.
fn prefix(kind: Kind, record: &Bytes, count: u64) -> Option<Bytes> {
    if kind == Kind::Json {
        return json::first(str::from_utf8(record).ok()?, count).map(Bytes::from);
    }
    let count = usize::try_from(count).ok()?;
    (count <= record.len()).then(|| record.slice(..count))
}

/// The problem of a request about its fork's source.
pub fn problem_of_source(error: Error) -> Problem {
    match error {
        Error::Refused(Refusal::NotFound) => Problem::new(&problem::SOURCE_NOT_FOUND),
        Error::Refused(Refusal::Deleted) => Problem::new(&problem::SOURCE_DELETED),
        error => of_creation(error),
    }
}

/// The problem of a request that makes a stream.
pub fn of_creation(error: Error) -> Problem {
    match error {
        Error::Refused(Refusal::Beyond | Refusal::Gone) => Problem::new(&problem::FORK_POINT),
        Error::Refused(Refusal::Deleted) => Problem::new(&problem::STREAM_EXISTS),
        error => problem::of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: &[(&'static str, &'static str)]) -> Result<Option<Fork>, Problem> {
        let pair = |(name, value): &(&'static str, &'static str)| (name.parse().unwrap(), value.parse().unwrap());
        from_headers(&headers.iter().map(pair).collect::<HeaderMap>())
    }

    #[test]
    fn a_fork_needs_a_source_and_valid_numbers() {
        let source = ("stream-forked-from", "/v1/stream/a");
        for headers in [
            &[("stream-fork-offset", "-1")][..],
            &[("stream-fork-sub-offset", "0")],
            &[("stream-forked-from", "a")],
            &[("stream-forked-from", "")],
            &[source, ("stream-fork-offset", "1")],
            &[source, ("stream-fork-sub-offset", "-1")],
            &[source, ("stream-fork-sub-offset", "9223372036854775808")],
        ] {
            assert_eq!(
                parsed(headers).err().unwrap().slug(),
                Some("invalid-header"),
                "{headers:?}"
            );
        }
        assert!(parsed(&[]).unwrap().is_none());
        let fork = parsed(&[source, ("stream-fork-offset", "-1"), ("stream-fork-sub-offset", "3")]);
        let fork = fork.unwrap().unwrap();
        assert_eq!(
            (&*fork.source, fork.at, fork.sub_offset),
            ("a", Some(ReadFrom::Start), 3)
        );
    }

    #[test]
    fn a_record_is_cut_between_bytes_or_between_messages() {
        let cut = |kind, record: &'static str, count| prefix(kind, &Bytes::from(record), count);
        assert_eq!(cut(Kind::Text, "hello", 3).unwrap(), "hel");
        assert_eq!(cut(Kind::Bytes, "hello", 5).unwrap(), "hello");
        assert_eq!(cut(Kind::Bytes, "hello", 6), None);
        assert_eq!(cut(Kind::Json, "{\"a\":[1,2]},3", 1).unwrap(), "{\"a\":[1,2]}");
        assert_eq!(cut(Kind::Json, "{\"a\":[1,2]},3", 3), None);
    }
}
