//! A reader: follows a stream from a page on, step by step.

use super::{LARGEST_EVENT, memory::Part, page};
use crate::{Log, body::joined, media_type::Kind, path::StreamPath};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, stream};
use shared::{
    deadline::Deadline,
    random,
    streams::{Cursor, Error, Follow, From, Page, Position},
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// When a client comes back that was sent away so that the database may sleep.
const ASLEEP: Duration = Duration::from_secs(30);
/// How long a reader waits, at most, before it asks again after the database has failed.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Reader {
    log: Log,
    path: StreamPath,
    deadline: Deadline,
    at: Cursor,
    is_behind: bool,
    is_over: bool,
    /// Of the memory of pages, for the page that is being taken.
    part: Option<Part>,
}

/// What a reader sees next.
pub enum Step {
    /// A page: its data as text, if it has any, and how far it goes.
    Page {
        data: Option<String>,
        next: Position,
        is_up_to_date: bool,
        is_closed: bool,
    },
    /// The client should ask anew, now or after a while.
    Leave { at: Position, after: Option<Duration> },
}

impl Reader {
    /// The steps of a reader whose first page is `page`. Each is made when it is asked for.
    pub fn steps(
        log: Log,
        path: StreamPath,
        deadline: Deadline,
        page: &Page,
        part: Part,
    ) -> impl Stream<Item = Step> + Send + use<> {
        let mut reader = Self {
            at: page.cursor(),
            is_behind: false,
            is_over: false,
            part: Some(part),
            log,
            path,
            deadline,
        };
        let first = reader.take(page);
        let next = stream::unfold(reader, async |mut reader| Some((reader.next().await?, reader)));
        stream::StreamExt::chain(stream::iter([first]), next)
    }

    /// While the database is away the stream stays open: a browser never comes back after any other answer than 200.
    async fn next(&mut self) -> Option<Step> {
        // The page before has been taken.
        self.part = None;
        while !self.is_over {
            match self.read().await {
                Ok(Follow::Page(page)) => return Some(self.take(&page)),
                Ok(Follow::Asleep) => return Some(self.leave(Some(ASLEEP))),
                // The answer to the client's next request says what has become of the stream.
                Ok(Follow::Silent) | Err(page::Error::Log(Error::Refused(_))) => return Some(self.leave(None)),
                Err(page::Error::Full | page::Error::Log(Error::Database(_))) => {
                    sleep(PAUSE.mul_f64(random::fraction())).await
                }
            }
        }
        None
    }

    /// A reader at the end shares its next page with the others there; one that is behind has a page of its own.
    async fn read(&mut self) -> Result<Follow, page::Error> {
        let limit = self.limit();
        if !self.is_behind {
            let (streams, path) = (&self.log.streams, self.path.as_str());
            return Ok(streams.follow(&self.deadline, path, &self.at, limit).await?);
        }
        let (page, part) = page::read(&self.log, &self.path, From::At(self.at.at), limit, &self.deadline).await?;
        self.part = Some(part);
        Ok(Follow::Page(Arc::new(page)))
    }

    fn limit(&self) -> usize {
        self.log.settings.page.min(LARGEST_EVENT)
    }

    fn take(&mut self, page: &Page) -> Step {
        self.at = page.cursor();
        let is_up_to_date = page.is_up_to_date();
        self.is_behind = !is_up_to_date;
        self.is_over = is_up_to_date && page.head.closed;
        Step::Page {
            data: (!page.records.is_empty()).then(|| text(page)),
            next: page.next,
            is_up_to_date,
            is_closed: self.is_over,
        }
    }

    fn leave(&mut self, after: Option<Duration>) -> Step {
        self.is_over = true;
        let at = self.at.at;
        Step::Leave { at, after }
    }
}

/// The data of a page, as an event has it.
fn text(page: &Page) -> String {
    let kind = Kind::of(&page.head.content_type);
    let data = joined(kind, page.records.iter().map(|record| &record.data));
    match kind {
        Kind::Bytes => BASE64_STANDARD.encode(&data),
        Kind::Json | Kind::Text => String::from_utf8_lossy(&data).into_owned(),
    }
}
