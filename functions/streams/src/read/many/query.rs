//! The query of several streams: `read=path@offset`, once for each, and `live=sse`.

use super::super::events::place;
use crate::{offset::Offset, path::StreamPath};
use shared::{parameters, problem::Problem, sse::LastEventId, streams::ReadFrom};

/// How many streams an answer has, at most: each has a page in memory.
const MOST: usize = 16;

/// A stream, and where to read it from.
pub struct Read {
    pub path: StreamPath,
    pub from: ReadFrom,
}

/// The streams of a query. An id has an offset for each, in place of that in the query.
///
/// # Errors
/// A parameter does not fit.
pub fn parse(query: &str, last: Option<LastEventId>) -> Result<Vec<Read>, Problem> {
    let refused = |name, why: &str| parameters::invalid(Some(name), why.to_owned());
    let (mut reads, mut live) = (Vec::new(), None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "read" => reads.push(one(&value).map_err(|why| refused("read", &why))?),
            "live" => live = Some(value.into_owned()),
            _ => {}
        }
    }
    if live.as_deref() != Some("sse") {
        return Err(refused("live", "it is not `sse`"));
    }
    if !(1..=MOST).contains(&reads.len()) {
        return Err(refused("read", &format!("there must be 1 to {MOST} streams")));
    }
    if let Some(LastEventId(id)) = last {
        let places: Vec<&str> = id.split(',').collect();
        if places.len() != reads.len() {
            return Err(refused("Last-Event-ID", "it needs one offset for each stream"));
        }
        for (read, id) in reads.iter_mut().zip(places) {
            read.from = place(id)?;
        }
    }
    Ok(reads)
}

fn one(read: &str) -> Result<Read, String> {
    let (path, offset) = read.rsplit_once('@').ok_or("not a path, `@` and an offset")?;
    let path = path.parse::<StreamPath>().map_err(|why| why.to_string())?;
    let Offset(from) = offset.parse()?;
    Ok(Read { path, from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Token;
    use shared::streams::Position;

    fn parsed(query: &str, last: Option<&str>) -> Result<Vec<(String, ReadFrom)>, Option<&'static str>> {
        let reads = parse(query, last.map(|id| LastEventId(id.to_owned())));
        let reads = reads.map(|reads| reads.into_iter().map(|read| (read.path.as_str().to_owned(), read.from)));
        reads.map(Iterator::collect).map_err(|problem| problem.slug())
    }

    #[test]
    fn a_query_names_streams_and_offsets() {
        let many = "read=a@-1&".repeat(17) + "live=sse";
        for query in [
            "",
            "live=sse",
            "read=a@-1",
            "read=a@-1&live=long-poll",
            "read=a&live=sse",
            "read=a@x&live=sse",
            "read=/a@-1&live=sse",
            &many,
        ] {
            assert_eq!(parsed(query, None), Err(Some("invalid-parameter")), "{query}");
        }
        let query = "read=a%2Fb@now&live=sse&read=c@d@-1&unknown=1";
        let expected = [("a/b".to_owned(), ReadFrom::Tail), ("c@d".to_owned(), ReadFrom::Start)];
        assert_eq!(parsed(query, None), Ok(expected.to_vec()));
    }

    #[test]
    fn an_id_has_an_offset_for_each_stream() {
        let query = "read=a@-1&read=b@-1&live=sse";
        for id in ["-1", "-1,-1,-1", "-1,x", ""] {
            assert_eq!(parsed(query, Some(id)), Err(Some("invalid-parameter")), "{id}");
        }
        let position = Position { incarnation: 7, end: 9 };
        let id = format!("{},now", Token(position));
        let expected = [
            ("a".to_owned(), ReadFrom::At(position)),
            ("b".to_owned(), ReadFrom::Tail),
        ];
        assert_eq!(parsed(query, Some(&id)), Ok(expected.to_vec()));
    }
}
