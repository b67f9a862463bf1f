//! An event stream: pages as events, each followed by an event that says how far they go (section 5.8).
//!
//! Each event has the offset as its id, so that a browser comes back where it was without a line of code.

use super::{Parameters, reader::Reader, required};
use crate::{
    Log, cursor, header::STREAM_SSE_DATA_ENCODING, media_type::Kind, offset::Offset, path::StreamPath, problem,
};
use axum::{
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use shared::{
    deadline::Deadline,
    parameters,
    problem::Problem,
    sse::{self, LastEventId},
    streams::From,
};
use std::time::SystemTime;

/// How many bytes of data an event has, at most, unless one append is larger: each reader has one page in memory.
const LARGEST_PAGE: usize = 64 << 10;

/// A browser that comes back says where it was, and asks for the same URL: so the id counts, not the offset in the URL.
pub async fn answer(
    log: Log,
    path: StreamPath,
    parameters: Parameters,
    last: Option<LastEventId>,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let is_back = last.is_some();
    let from = match last {
        Some(LastEventId(id)) => place(&id)?,
        None => required(parameters.offset)?,
    };
    let limit = log.settings.page.min(LARGEST_PAGE);
    let page = log.streams.page(&deadline, path.as_str(), from, limit).await;
    let page = page.map_err(problem::of)?;
    if is_back && page.records.is_empty() && page.head.closed {
        // The one answer after which a browser does not come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let settings = log.settings.sse;
    let collapse = cursor::next(parameters.cursor.as_deref(), SystemTime::now());
    let reader = Reader::new(log, path, limit, deadline.clone(), &page, collapse);
    let is_encoded = reader.kind == Kind::Bytes;
    let events = stream::unfold(reader, async |mut reader| Some((reader.next().await?, reader)));
    let mut response = sse::stream(settings, deadline, events);
    if is_encoded {
        let headers = response.headers_mut();
        headers.insert(STREAM_SSE_DATA_ENCODING, HeaderValue::from_static("base64"));
    }
    Ok(response)
}

fn place(id: &str) -> Result<From, Problem> {
    let offset = id.parse::<Offset>();
    let invalid = |why: &'static str| parameters::invalid(Some("Last-Event-ID"), why.to_owned());
    offset.map(|Offset(from)| from).map_err(invalid)
}
