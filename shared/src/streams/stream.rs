//! A stream that readers of this process wait for: what is known of it, and what they know.

use super::{Cursor, Head, Page, next_page::NextPage};
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// What is known of a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    pub tail: i64,
    pub closed: bool,
    /// It was deleted, or has expired.
    pub gone: bool,
    /// Readers should come back later.
    pub asleep: bool,
}

impl Seen {
    /// Whether a reader who has everything up to `end` has something to ask for.
    pub fn is_news_at(&self, end: i64) -> bool {
        self.gone || self.closed || self.tail > end
    }

    /// The stream was about to expire, or a standby that has become the server lacks the end.
    pub fn take_back(&mut self, head: &Head) {
        self.gone = false;
        self.tail = head.tail.end;
        self.closed = head.closed;
    }
}

/// Where a reader waits.
#[derive(Clone)]
pub(super) struct Place {
    pub path: String,
    pub cursor: Cursor,
    pub limit: usize,
}

/// A stream with readers.
pub(super) struct Stream {
    /// The state that readers see. Sending it wakes them.
    published: watch::Sender<Seen>,
    pub next_page: Arc<NextPage>,
    ahead: Mutex<Ahead>,
}

/// What is there for readers before they are woken.
#[derive(Default)]
struct Ahead {
    seen: Seen,
    /// Where the reader waits who came last. Most wait at the same place.
    place: Option<Place>,
    /// Whether the page for that place is being read.
    is_fed: bool,
}

impl Stream {
    pub fn new(seen: Seen) -> Self {
        Self {
            published: watch::Sender::new(seen),
            next_page: Arc::default(),
            ahead: Mutex::new(Ahead {
                seen,
                ..Ahead::default()
            }),
        }
    }

    pub fn has_readers(&self) -> bool {
        self.published.receiver_count() > 0
    }

    /// Remembers where a reader waits, unless there is more for it already.
    pub fn wait_at(&self, path: &str, cursor: &Cursor, limit: usize) {
        let has_news = self.published.borrow().is_news_at(cursor.at.end);
        let mut ahead = self.ahead();
        let is_there = |place: &Place| (&place.cursor, place.limit) == (cursor, limit);
        if !has_news && !ahead.place.as_ref().is_some_and(is_there) {
            ahead.place = Some(Place {
                path: path.to_owned(),
                cursor: *cursor,
                limit,
            });
        }
    }

    /// Records what has become known. Returns whether a page has to be read before it is published.
    pub fn record(&self, seen: impl FnOnce(&mut Seen)) -> bool {
        let mut ahead = self.ahead();
        seen(&mut ahead.seen);
        if ahead.is_fed {
            return false;
        }
        ahead.is_fed = self.wanted(&ahead).is_some();
        if !ahead.is_fed {
            self.send(ahead.seen);
        }
        ahead.is_fed
    }

    /// Where readers wait for a page that is there, and what is known.
    pub fn place_with_news(&self) -> Option<(Place, Seen)> {
        let ahead = self.ahead();
        let place = self.wanted(&ahead)?.clone();
        Some((place, ahead.seen))
    }

    /// Where a page is there, if anybody reads.
    fn wanted<'a>(&self, ahead: &'a Ahead) -> Option<&'a Place> {
        ahead.place_with_news().filter(|_| self.has_readers())
    }

    /// Wakes the readers who wait for this page, which may be read later than the stream was seen. Those wait at its end next,
    /// unless it is not the last page: then they read on by themselves.
    pub fn publish(&self, page: &Page) {
        let mut ahead = self.ahead();
        ahead.seen.tail = ahead.seen.tail.max(page.next.end);
        ahead.seen.closed |= page.is_end();
        if let Some(place) = ahead.place.take_if(|place| place.cursor.at.end == page.begin.end)
            && page.is_up_to_date()
        {
            ahead.place = Some(Place {
                cursor: page.cursor(),
                ..place
            });
        }
        let seen = Seen {
            tail: page.next.end,
            closed: page.is_end(),
            ..ahead.seen
        };
        self.send(seen);
    }

    /// Publishes everything that is known: readers read the pages themselves that are not there.
    pub fn publish_all(&self) {
        let mut ahead = self.ahead();
        ahead.is_fed = false;
        // Nobody waits there any more.
        if ahead.place_with_news().is_some() {
            ahead.place = None;
        }
        self.send(ahead.seen);
    }

    fn send(&self, seen: Seen) {
        let publish = |published: &mut Seen| mem::replace(published, seen) != seen;
        self.published.send_if_modified(publish);
    }

    /// Takes back what a page without news has not confirmed, unless there is more by now.
    pub fn take_back(&self, head: &Head, seen: Seen) {
        let mut ahead = self.ahead();
        if ahead.seen == seen {
            ahead.seen.take_back(head);
        }
    }

    pub fn seen(&self) -> Seen {
        self.ahead().seen
    }

    /// Sends its readers away.
    pub fn sleep(&self) {
        self.ahead().seen.asleep = true;
        self.publish_all();
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead {
    fn place_with_news(&self) -> Option<&Place> {
        let place = self.place.as_ref();
        place.filter(|place| self.seen.is_news_at(place.cursor.at.end))
    }
}

/// A reader's part of a stream.
pub(super) struct Reader {
    published: watch::Receiver<Seen>,
    pub stream: Arc<Stream>,
}

/// How a wait has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Woken {
    More,
    Asleep,
}

impl Reader {
    pub fn new(stream: &Arc<Stream>) -> Self {
        Self {
            published: stream.published.subscribe(),
            stream: Arc::clone(stream),
        }
    }

    /// Waits until there is more than up to `end`.
    pub async fn more_than(&mut self, end: i64) -> Woken {
        let seen = self.published.wait_for(|seen| seen.asleep || seen.is_news_at(end));
        match seen.await.map(|seen| seen.asleep) {
            Ok(false) => Woken::More,
            Ok(true) | Err(_) => Woken::Asleep,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
