//! `GET /v1/streams`: several streams as one event stream, because a browser has six connections to a server.
//!
//! Beyond the protocol: each event names its stream, and an id has the offsets of all of them.

mod query;

use super::{
    control::{self, Cursors},
    events::data_event,
    page,
    reader::{Reader, Step},
};
use crate::{Log, access::check_read, media_type::Kind, offset::Token, path::StreamPath};
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use query::Read;
use serde_json::{json, value::Value};
use shared::{
    callers::Caller,
    deadline::Deadline,
    problem::Problem,
    sse::{self, Event, LastEventId},
    streams::{Page, Position, ReadFrom},
};
use std::future::ready;

/// The position before the first byte of any stream.
const START: Position = Position { incarnation: 0, end: 0 };

/// How many bytes the first page of each stream has. A larger one, of a large append, is read again when its turn comes: a request
/// that waits for memory must not hold some.
const SMALL: usize = 4 << 10;

/// What is known of a stream that is read.
struct Known {
    path: String,
    kind: Kind,
    /// Up to where the client has it.
    position: Position,
}

/// Reads several streams.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = crate::MANY, operation_id = "readStreams", tag = "durable",
    params(
        ("read" = Vec<String>, Query, description = "Streams, each with an offset: `path@offset`. Up to 16.",
            example = json!(["examples/1@-1"])),
        ("live" = String, Query, description = "`sse`.", example = "sse"),
        ("Last-Event-ID" = Option<String>, Header, description = "The offsets, in place of those in the query."),
    ),
    responses(
        (status = 200, description = "Events: `data` with `stream` and `messages`, `text` or `base64`; and `control`, as for \
            one stream, with `stream`. The id of each has the offsets of all streams.",
            body = sse::EventSchema, content_type = "text/event-stream"),
        (status = 204, description = "All streams are closed, and the client has everything."),
    ),
    extensions(("x-smoke" = json!("skip"))),
))]
pub async fn read(
    State(log): State<Log>,
    RawQuery(query): RawQuery,
    caller: Caller,
    last: Option<LastEventId>,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let is_back = last.is_some();
    let reads = query::parse(query.as_deref().unwrap_or_default(), last)?;
    reads
        .iter()
        .try_for_each(|read| check_read(&caller, read.path.as_str()))?;
    let log = log.of(&caller);
    let limit = log.settings.page.min(SMALL);
    let (mut known, mut readers) = (Vec::new(), Vec::new());
    let (mut is_over, mut is_asleep) = (is_back, is_back);
    for (index, Read { path, from }) in reads.into_iter().enumerate() {
        let page = page::read(&log, &path, from, limit, 0, &deadline).await;
        let (page, permit) = page.map_err(|error| Problem::from(error).member("stream", path.as_str()))?;
        is_over &= page.records.is_empty() && page.head.closed;
        // A page that is read again when its turn comes would come after the reader has left.
        is_asleep &= permit.is_empty() && (page.is_end() || log.streams.is_asleep(&page.cursor()));
        known.push(Known::new(&path, from, &page));
        let reader = Reader::before(log.clone(), path, deadline.clone(), &page);
        readers.push((index, reader, permit.is_empty().then_some((page, permit))));
    }
    if is_over {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut cursors = Cursors::after(None);
    let readers = readers.into_iter().map(|(index, reader, first)| {
        let reader = reader.leaving(is_asleep);
        let steps = match first {
            Some((page, permit)) => reader.steps_from(page, permit).boxed(),
            None => reader.steps().boxed(),
        };
        steps.map(move |step| (index, step)).boxed()
    });
    let steps = stream::select_all(readers);
    let events =
        until_one_leaves(steps).filter_map(move |(index, step)| ready(event(&mut known, index, step, &mut cursors)));
    Ok(sse::stream(log.settings.sse, deadline, events))
}

/// When the client should ask anew for one stream, it should for all: it has one connection.
fn until_one_leaves(
    steps: impl stream::Stream<Item = (usize, Step)> + Send + Unpin,
) -> impl stream::Stream<Item = (usize, Step)> + Send {
    stream::unfold((steps, false), async |(mut steps, has_left)| {
        if has_left {
            return None;
        }
        let (index, step) = steps.next().await?;
        let leaves = matches!(step, Step::Leave { .. });
        Some(((index, step), (steps, leaves)))
    })
}

impl Known {
    /// The client has nothing of the first page yet: it comes after that of another stream, perhaps.
    fn new(path: &StreamPath, from: ReadFrom, page: &Page) -> Self {
        Self {
            path: path.as_str().to_owned(),
            kind: Kind::of(&page.head.content_type),
            position: match from {
                ReadFrom::Start => START,
                ReadFrom::At(position) => position,
                ReadFrom::Tail => page.next,
            },
        }
    }

    fn data(&self, data: String) -> String {
        let stream = Value::from(&*self.path);
        match self.kind {
            Kind::Json => format!("{{\"stream\":{stream},\"messages\":{data}}}"),
            Kind::Text => json!({"stream": stream, "text": data}).to_string(),
            Kind::Bytes => json!({"stream": stream, "base64": data}).to_string(),
        }
    }
}

fn event(known: &mut [Known], index: usize, step: Step, cursors: &mut Cursors) -> Option<Event> {
    let position = step.position();
    known[index].position = position;
    let id: Vec<String> = known.iter().map(|known| Token(known.position).to_string()).collect();
    let (id, known) = (id.join(","), &known[index]);
    let control = control::event(&step, Some(&known.path), &id, cursors.next())?;
    Some(match step.text() {
        Some(data) => data_event(&id, &known.data(data)).followed_by(control),
        None => control,
    })
}
