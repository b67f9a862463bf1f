//! A reader: follows a stream, and turns each page into two events.

use crate::{Log, body::joined, cursor, media_type::Kind, offset::Token, path::StreamPath};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use shared::{
    deadline::Deadline,
    random,
    sse::Event,
    streams::{Cursor, Error, Follow, Page},
};
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;

/// When a client comes back that was sent away so that the database may sleep.
const ASLEEP: Duration = Duration::from_secs(30);
/// How long a reader waits, at most, before it asks again after the database has failed.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Reader {
    pub log: Log,
    pub path: StreamPath,
    pub kind: Kind,
    pub limit: usize,
    pub deadline: Deadline,
    at: Cursor,
    /// The cursor of the last control event.
    collapse: u64,
    /// The events of one page.
    events: VecDeque<Event>,
    is_over: bool,
}

/// What follows each page, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Control {
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

impl Reader {
    /// A reader that has this page to send. `collapse` is the cursor of its first control event.
    pub fn new(log: Log, path: StreamPath, limit: usize, deadline: Deadline, page: &Page, collapse: u64) -> Self {
        let mut reader = Self {
            kind: Kind::of(&page.head.content_type),
            at: page.cursor(),
            events: VecDeque::new(),
            is_over: false,
            log,
            path,
            limit,
            deadline,
            collapse,
        };
        reader.take(page);
        reader
    }

    /// The next event; `None` at the end of the stream, or when the client should ask anew.
    pub async fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() && !self.is_over {
            self.follow().await;
        }
        self.events.pop_front()
    }

    /// While the database is away the stream stays open: a browser never comes back after any other answer than 200.
    async fn follow(&mut self) {
        let streams = &self.log.streams;
        let followed = streams.follow(&self.deadline, self.path.as_str(), &self.at, self.limit);
        match followed.await {
            Ok(Follow::Page(page)) => {
                self.collapse = self.collapse.max(cursor::next(None, SystemTime::now()));
                self.take(&page);
            }
            Ok(Follow::Asleep) => self.leave(),
            // The answer to the client's next request says what has become of the stream.
            Ok(Follow::Silent) | Err(Error::Refused(_)) => self.is_over = true,
            Err(Error::Database(_)) => sleep(PAUSE.mul_f64(random::fraction())).await,
        }
    }

    fn take(&mut self, page: &Page) {
        self.at = page.cursor();
        let id = Token(page.next).to_string();
        if !page.records.is_empty() {
            let data = Event::default().id(&id).event("data").data(&self.data(page));
            self.events.push_back(data);
        }
        let up_to_date = page.is_up_to_date();
        let stream_closed = up_to_date && page.head.closed;
        let control = Control {
            stream_next_offset: id.clone(),
            stream_cursor: (!stream_closed).then(|| self.collapse.to_string()),
            up_to_date,
            stream_closed,
        };
        self.events.push_back(control.event(&id));
        self.is_over = stream_closed;
    }

    fn data(&self, page: &Page) -> String {
        let data = joined(self.kind, page.records.iter().map(|record| &record.data));
        match self.kind {
            Kind::Bytes => BASE64_STANDARD.encode(&data),
            Kind::Json | Kind::Text => String::from_utf8_lossy(&data).into_owned(),
        }
    }

    /// The client comes back later, which wakes the database.
    fn leave(&mut self) {
        let id = Token(self.at.at).to_string();
        let control = Control {
            stream_next_offset: id.clone(),
            stream_cursor: Some(self.collapse.to_string()),
            up_to_date: true,
            stream_closed: false,
        };
        self.events.push_back(control.event(&id).retry(ASLEEP));
        self.is_over = true;
    }
}

impl Control {
    fn event(&self, id: &str) -> Event {
        let json = serde_json::to_string(self).expect("text and flags");
        Event::default().id(id).event("control").data(&json)
    }
}
