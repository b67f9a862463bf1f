//! An event stream: pages as events, each followed by an event that says how far they go (section 5.8).
//!
//! Each event has the offset as its id, so that a browser comes back where it was without a line of code.

use super::{
    LARGEST_EVENT, Parameters,
    control::{self, Cursors},
    frames::Frames,
    page,
    reader::{Reader, Step},
    required,
};
use crate::{
    Log,
    header::STREAM_SSE_DATA_ENCODING,
    media_type::Kind,
    offset::{Offset, Token},
    path::StreamPath,
};
use axum::{
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use shared::{
    deadline::Deadline,
    parameters,
    problem::Problem,
    sse::{self, Event, LastEventId},
    streams::ReadFrom,
};
use std::{future::ready, sync::Arc};

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
    let limit = log.settings.page.min(LARGEST_EVENT);
    let (page, permit) = page::read(&log, &path, from, limit, 0, &deadline).await?;
    if is_back && page.records.is_empty() && page.head.closed {
        // The one answer after which a browser does not come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let settings = log.settings.sse;
    let mut cursors = Cursors::after(parameters.cursor.as_deref());
    let is_encoded = Kind::of(&page.head.content_type) == Kind::Bytes;
    let frames = log.frames.clone();
    let is_asleep = is_back && log.streams.is_asleep(&page.cursor());
    let reader = Reader::before(log, path, deadline.clone(), &page).leaving(is_asleep);
    let steps = reader.steps_from(page, permit);
    let events = steps.filter_map(move |step| ready(shared_event(&step, cursors.next(), &frames)));
    let mut response = sse::stream(settings, deadline, events);
    if is_encoded {
        let headers = response.headers_mut();
        headers.insert(STREAM_SSE_DATA_ENCODING, HeaderValue::from_static("base64"));
    }
    Ok(response)
}

pub fn place(id: &str) -> Result<ReadFrom, Problem> {
    let offset = id.parse::<Offset>();
    let invalid = |why: &'static str| parameters::invalid(Some("Last-Event-ID"), why.to_owned());
    offset.map(|Offset(from)| from).map_err(invalid)
}

fn shared_event(step: &Step, cursor: u64, frames: &Frames) -> Option<Event> {
    let new = || event(step, cursor);
    match step {
        // Others have the page, too.
        Step::Page(page) if Arc::strong_count(page) > 1 => frames.event(page, cursor, new),
        _ => new(),
    }
}

/// Both events of a step in one piece, so that few cuts come between them: not all clients know ids.
fn event(step: &Step, cursor: u64) -> Option<Event> {
    let id = Token(step.position()).to_string();
    let control = control::event(step, None, &id, cursor)?;
    Some(match step.text() {
        Some(data) => data_event(&id, &data).followed_by(control),
        None => control,
    })
}

pub fn data_event(id: &str, data: &str) -> Event {
    Event::default().id(id).event("data").dense_data(data)
}
