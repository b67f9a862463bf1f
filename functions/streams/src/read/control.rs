//! The event after each page, which says how far the page goes.

use super::reader::Step;
use crate::{cursor, offset::Token};
use serde::Serialize;
use shared::sse::Event;
use std::time::SystemTime;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Control<'a> {
    /// Where an event stream has several streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    stream_next_offset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_cursor: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    up_to_date: bool,
    #[serde(skip_serializing_if = "is_false")]
    stream_closed: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The cursors of an event stream: the first one differs from that of the client, and none is smaller than the one before.
pub struct Cursors(u64);

impl Cursors {
    pub fn after(seen: Option<&str>) -> Self {
        Self(cursor::next(seen, SystemTime::now()))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.max(cursor::next(None, SystemTime::now()));
        self.0
    }
}

/// The control event of a step; `None` where there is nothing to say.
pub fn event(step: &Step, stream: Option<&str>, id: &str, cursor: u64) -> Option<Event> {
    let (up_to_date, stream_closed, retry) = match step {
        Step::Page(page) => (page.is_up_to_date(), page.is_end(), None),
        Step::Leave { after, .. } => (true, false, Some((*after)?)),
    };
    let control = Control {
        stream,
        stream_next_offset: Token(step.position()).to_string(),
        stream_cursor: (!stream_closed).then(|| cursor.to_string()),
        up_to_date,
        stream_closed,
    };
    let json = serde_json::to_string(&control).expect("text and flags");
    let event = Event::default().id(id).event("control").dense_data(&json);
    Some(match retry {
        Some(retry) => event.retry(retry),
        None => event,
    })
}
