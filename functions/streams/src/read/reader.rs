//! A reader: follows a stream from a page on, step by step.

use super::{
    LARGEST_EVENT,
    memory::{Full, Permit},
    page,
};
use crate::{Log, body::joined, media_type::Kind, path::StreamPath};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, stream};
use shared::{
    deadline::Deadline,
    random,
    streams::{Cursor, Error, Follow, Page, Position, ReadFrom},
    telemetry,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// How long a reader waits, at most, before it asks again after the database has failed.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Reader {
    log: Log,
    path: StreamPath,
    deadline: Deadline,
    at: Cursor,
    is_behind: bool,
    is_over: bool,
    /// Whether the database is left to sleep, so that the reader leaves at the end of the stream.
    is_asleep: bool,
    /// How many bytes the next page has, if there was no memory for them.
    least: usize,
    /// The permit of the page in flight.
    permit: Option<Permit>,
}

/// What a reader sees next.
pub enum Step {
    /// A page, which readers at the same place share.
    Page(Arc<Page>),
    /// The client should ask anew, now or after a while.
    Leave { at: Position, after: Option<Duration> },
}

impl Step {
    /// Up to where the client has the stream after this step.
    pub fn position(&self) -> Position {
        match self {
            Self::Page(page) => page.next,
            Self::Leave { at, .. } => *at,
        }
    }

    /// Its data as text, if it has any.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Page(page) if !page.records.is_empty() => Some(text(page)),
            _ => None,
        }
    }
}

impl Reader {
    /// A reader that is where a page begins.
    pub fn before(log: Log, path: StreamPath, deadline: Deadline, page: &Page) -> Self {
        let (incarnation, at) = (page.head.incarnation, page.begin);
        Self {
            at: Cursor { incarnation, at },
            is_behind: true,
            is_over: false,
            is_asleep: false,
            least: 0,
            permit: None,
            log,
            path,
            deadline,
        }
    }

    /// The same for a reader who comes back while the database is left to sleep: it is sent away again.
    pub fn leaving(self, is_asleep: bool) -> Self {
        Self { is_asleep, ..self }
    }

    /// The steps of the reader, each of which is made when it is asked for.
    pub fn steps(self) -> impl Stream<Item = Step> + Send {
        stream::unfold(self, async |mut reader| Some((reader.next().await?, reader)))
    }

    /// The same, where the first one is the page, which is there.
    pub fn steps_from(mut self, page: Page, permit: Permit) -> impl Stream<Item = Step> + Send + use<> {
        self.permit = Some(permit);
        let first = self.take(Arc::new(page));
        stream::StreamExt::chain(stream::iter([first]), self.steps())
    }

    /// While the database is away the stream stays open: a browser never comes back after any other answer than 200.
    async fn next(&mut self) -> Option<Step> {
        // The page before has been taken.
        self.permit = None;
        if self.is_asleep && !self.is_behind && !self.is_over {
            return Some(self.leave_asleep());
        }
        while !self.is_over {
            match self.read().await {
                Ok(Follow::Page(page)) => return Some(self.take(page)),
                Ok(Follow::Asleep) => return Some(self.leave_asleep()),
                // The answer to the client's next request says what has become of the stream.
                Ok(Follow::Silent) | Err(page::Error::Log(Error::Refused(_))) => return Some(self.leave(None)),
                Err(error) => {
                    if let page::Error::Full(Full(bytes)) = error {
                        self.least = bytes;
                    }
                    sleep(PAUSE.mul_f64(random::fraction())).await
                }
            }
        }
        None
    }

    /// A reader at the end shares its next page with the others there, if there is memory for one more to have it; one that is
    /// behind has a page of its own.
    async fn read(&mut self) -> Result<Follow, page::Error> {
        let limit = self.limit();
        if !self.is_behind {
            let (streams, path) = (&self.log.streams, self.path.as_str());
            // The event stream ends at its deadline, whatever its reader waits for.
            let followed = streams.follow(&Deadline::default(), path, &self.at, limit).await?;
            let Follow::Page(page) = &followed else {
                return Ok(followed);
            };
            self.permit = self.log.memory.try_acquire(page.size());
            if self.permit.is_some() {
                return Ok(followed);
            }
        }
        let (page, permit) = self.page(limit).await?;
        self.permit = Some(permit);
        Ok(Follow::Page(Arc::new(page)))
    }

    /// The next page. The read is a task: a client that takes nothing of another stream on its connection polls no future, and
    /// one that was not polled would hold a connection to the database.
    async fn page(&self, limit: usize) -> Result<(Page, Permit), page::Error> {
        let (log, path, from) = (self.log.clone(), self.path.clone(), ReadFrom::At(self.at.at));
        let (least, deadline) = (self.least, self.deadline.clone());
        let mut reading = JoinSet::new();
        let read = async move { page::read(&log, &path, from, limit, least, &deadline).await };
        telemetry::spawn_in(&mut reading, read);
        let read = reading.join_next().await.expect("there is one");
        read.expect("it neither panics nor is aborted")
    }

    fn limit(&self) -> usize {
        self.log.settings.page.min(LARGEST_EVENT)
    }

    fn take(&mut self, page: Arc<Page>) -> Step {
        self.at = page.cursor();
        self.least = 0;
        self.is_behind = !page.is_up_to_date();
        self.is_over = page.is_end();
        Step::Page(page)
    }

    fn leave_asleep(&mut self) -> Step {
        self.leave(Some(self.log.settings.sleep_retry))
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
