//! `GET /v1/stream/{path}`: a page of a stream, at once or when there is one, or events without end (sections 5.5 to 5.8).

mod control;
mod etag;
mod events;
pub mod frames;
mod long_poll;
pub mod many;
pub mod memory;
mod page;
mod page_body;
mod reader;

use crate::{
    Log, expiry,
    header::{
        CROSS_ORIGIN_RESOURCE_POLICY, STREAM_CLOSED, STREAM_CURSOR, STREAM_NEXT_OFFSET, STREAM_UP_TO_DATE, TRUE, value,
    },
    offset::{Offset, Token},
    path::StreamPath,
    problem,
};
use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use memory::Permit;
use page_body::body;
use serde::Deserialize;
use shared::{
    callers::Caller,
    deadline::Deadline,
    download,
    parameters::{self, Path, Query},
    problem::{Problem, ProblemType},
    sse::LastEventId,
    streams::{Head, Page, ReadFrom},
};
use std::{convert::Infallible, sync::Arc};

pub const PROBLEMS: &[ProblemType] = &[
    problem::OFFSET_BEYOND,
    problem::STREAM_NOT_FOUND,
    problem::STREAM_DELETED,
    problem::OFFSET_GONE,
];

/// How many bytes of data an event has, at most, unless one append is larger: each reader has one page in memory.
const LARGEST_EVENT: usize = 64 << 10;

/// The log, with what the caller may have of its memory.
pub struct OfCaller(Log);

impl FromRequestParts<Log> for OfCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, log: &Log) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, log).await?;
        Ok(Self(log.of(&caller)))
    }
}

/// How a client reads.
#[derive(Deserialize)]
pub struct Parameters {
    offset: Option<Offset>,
    live: Option<Live>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Live {
    LongPoll,
    Sse,
}

/// Reads a stream. HEAD says what the stream is.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = crate::PATH, operation_id = "readStream", tag = "durable",
    params(
        ("path" = String, Path, description = "The path of the stream: segments, separated by `/`.", example = "examples/1"),
        ("offset" = Option<String>, Query, description = "After which offset: `-1` is the start, `now` the end."),
        ("live" = Option<String>, Query, description = "`long-poll` waits for data; `sse` is an event stream of all that comes."),
        ("cursor" = Option<String>, Query, description = "The `Stream-Cursor` of the answer before."),
        ("Last-Event-ID" = Option<String>, Header, description = "With `live=sse`: the offset, in place of that in the query."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what the client has."),
    ),
    responses(
        (status = 200, description = "What comes after the offset, in the type of the stream: a page, whose end is \
            `Stream-Next-Offset`; JSON as an array. With `live=sse` events: `data`, each followed by a `control`.",
            content((Vec<u8> = "application/octet-stream"), (Vec<serde_json::Value> = "application/json")),
            headers(("Stream-Next-Offset" = String, description = "The offset of the end."), ("Stream-Closed" = Option<String>, description = "`true` once the stream takes no more data."),
                ("Stream-Up-To-Date" = Option<String>, description = "`true` if there is no more at present."),
                ("Stream-Cursor" = Option<String>, description = "For the next live request."),
                ("ETag" = Option<String>, description = "Of this page."))),
        (status = 204, description = "Nothing came in time, or the stream is closed and the client has all."),
        (status = 304, description = "The client has this page."),
    ),
))]
pub async fn read(
    OfCaller(log): OfCaller,
    Path(path): Path<StreamPath>,
    Query(parameters): Query<Parameters>,
    method: Method,
    headers: HeaderMap,
    last: Option<LastEventId>,
    deadline: Deadline,
) -> Result<Response, Problem> {
    if method == Method::HEAD {
        return head(&log, &path, &deadline).await;
    }
    let seen = parameters.cursor.as_deref();
    match parameters.live {
        None => {
            let from = parameters.offset.map_or(ReadFrom::Start, |Offset(from)| from);
            catch_up(&log, &path, from, &headers, &deadline).await
        }
        Some(Live::LongPoll) => {
            let from = required(parameters.offset)?;
            long_poll::answer(&log, &path, from, seen, &headers, &deadline).await
        }
        Some(Live::Sse) => events::answer(log, path, parameters, last, deadline).await,
    }
}

fn required(offset: Option<Offset>) -> Result<ReadFrom, Problem> {
    let missing = || parameters::invalid(Some("offset"), "a live read has one".to_owned());
    offset.map(|Offset(from)| from).ok_or_else(missing)
}

async fn head(log: &Log, path: &StreamPath, deadline: &Deadline) -> Result<Response, Problem> {
    let head = log.streams.head(deadline, path.as_str()).await.map_err(problem::of)?;
    let mut headers = head_headers(&head);
    if head.closed {
        headers.insert(STREAM_CLOSED, TRUE);
    }
    // A body without a length: `Content-Length: 0` would be wrong where GET has one (RFC 9110, section 8.6).
    Ok((headers, Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())).into_response())
}

/// What answers about a stream say of it, at its end.
pub fn head_headers(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value(&head.content_type));
    headers.insert(STREAM_NEXT_OFFSET, value(Token(head.tail)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    expiry::to_headers(head.expiry, &mut headers);
    headers
}

async fn catch_up(
    log: &Log,
    path: &StreamPath,
    from: ReadFrom,
    request: &HeaderMap,
    deadline: &Deadline,
) -> Result<Response, Problem> {
    let (page, permit) = page::read(log, path, from, log.settings.page, 0, deadline).await?;
    Ok(answer(Arc::new(page), from, None, request, permit))
}

/// A page as an answer. What a client that reads from the end finds depends on the moment: nothing may store it.
fn answer(page: Arc<Page>, from: ReadFrom, cursor: Option<u64>, request: &HeaderMap, permit: Permit) -> Response {
    let mut headers = page_headers(&page, cursor);
    if from == ReadFrom::Tail {
        return (headers, body(page, permit)).into_response();
    }
    let etag = etag::of(&page);
    let is_known = download::is_known(request, &etag);
    headers.insert(ETAG, value(&etag));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control(&page, from)));
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, body(page, permit)).into_response()
}

/// A full page from an offset never changes. What there is at the start or at the end may.
fn cache_control(page: &Page, from: ReadFrom) -> &'static str {
    match from {
        ReadFrom::At(_) if !page.is_up_to_date() => "private, max-age=60, stale-while-revalidate=300",
        _ => "private, no-cache",
    }
}

/// What answers with a page say of it.
fn page_headers(page: &Page, cursor: Option<u64>) -> HeaderMap {
    let mut headers = head_headers(&page.head);
    headers.insert(STREAM_NEXT_OFFSET, value(Token(page.next)));
    let flags = [
        (STREAM_UP_TO_DATE, page.is_up_to_date()),
        (STREAM_CLOSED, page.is_end()),
    ];
    headers.extend(
        flags
            .into_iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(name, _)| (name, TRUE)),
    );
    headers.extend(cursor.map(|cursor| (STREAM_CURSOR, value(cursor))));
    headers
}
