//! The streams that readers of this process wait for.

use super::{Cursor, Head, Page, next_page::NextPage};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How long a stream is remembered after its last reader: a long poll comes back within this time.
const LINGER: Duration = Duration::from_secs(30);

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
    /// What readers are told of it, which wakes them.
    pub told: watch::Sender<Seen>,
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
    fn new(seen: Seen) -> Self {
        Self {
            told: watch::Sender::new(seen),
            next_page: Arc::default(),
            ahead: Mutex::new(Ahead {
                seen,
                ..Ahead::default()
            }),
        }
    }

    /// Remembers where a reader waits, unless there is more for it already.
    pub fn wait_at(&self, path: &str, cursor: &Cursor, limit: usize) {
        let has_news = self.told.borrow().is_news_at(cursor.at.end);
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

    /// Records what has become known. Returns whether a page has to be read before its readers are told.
    fn record(&self, seen: impl FnOnce(&mut Seen)) -> bool {
        let mut ahead = self.ahead();
        seen(&mut ahead.seen);
        if ahead.is_fed {
            return false;
        }
        ahead.is_fed = self.told.receiver_count() > 0 && ahead.place_with_news().is_some();
        if !ahead.is_fed {
            self.say(ahead.seen);
        }
        ahead.is_fed
    }

    /// Where readers wait for a page that is there, and what is known.
    pub fn place_with_news(&self) -> Option<(Place, Seen)> {
        let ahead = self.ahead();
        let place = ahead.place_with_news().filter(|_| self.told.receiver_count() > 0);
        place.map(|place| (place.clone(), ahead.seen))
    }

    /// Wakes the readers who wait for this page, which may be read later than the stream was seen. Those wait at its end next,
    /// unless it is not the last page: then they read on by themselves.
    pub fn tell(&self, page: &Page) {
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
        self.say(seen);
    }

    /// Tells readers everything that is known: they read the pages themselves that are not there.
    pub fn tell_all(&self) {
        let mut ahead = self.ahead();
        ahead.is_fed = false;
        // Nobody waits there any more.
        if ahead.place_with_news().is_some() {
            ahead.place = None;
        }
        self.say(ahead.seen);
    }

    fn say(&self, seen: Seen) {
        self.told.send_if_modified(|told| std::mem::replace(told, seen) != seen);
    }

    /// Takes back what a page without news has not confirmed, unless there is more by now.
    pub fn take_back(&self, head: &Head, seen: Seen) {
        let mut ahead = self.ahead();
        if ahead.seen == seen {
            ahead.seen.take_back(head);
        }
    }

    fn seen(&self) -> Seen {
        self.ahead().seen
    }

    fn sleep(&self) {
        self.ahead().seen.asleep = true;
        self.tell_all();
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
    pub told: watch::Receiver<Seen>,
    pub stream: Arc<Stream>,
}

/// The streams, by their numbers.
#[derive(Default)]
pub(super) struct Watched {
    streams: HashMap<i64, (Arc<Stream>, Instant)>,
    /// Where the streams ended whose readers were sent away, until something happens.
    asleep: HashMap<i64, i64>,
    /// When something happened last, or when a stream got its first reader.
    active_at: Option<Instant>,
}

impl Watched {
    /// Adds a reader who has read up to `tail`, and returns whether the stream is a new one.
    pub fn add(&mut self, stream: i64, tail: i64) -> (Reader, bool) {
        let now = Instant::now();
        let mut is_new = false;
        let (stream, used_at) = self.streams.entry(stream).or_insert_with(|| {
            is_new = true;
            let seen = Seen {
                tail,
                ..Seen::default()
            };
            (Arc::new(Stream::new(seen)), now)
        });
        *used_at = now;
        let reader = Reader {
            told: stream.told.subscribe(),
            stream: Arc::clone(stream),
        };
        if is_new {
            self.wake();
        }
        (reader, is_new)
    }

    /// Records what has become known of a stream. Returns it if a page has to be read before its readers are told.
    #[must_use]
    pub fn record(&mut self, stream: i64, seen: impl FnOnce(&mut Seen)) -> Option<Arc<Stream>> {
        let (stream, _) = self.streams.get(&stream)?;
        stream.record(seen).then(|| Arc::clone(stream))
    }

    /// The streams that have readers who may find more, and what is known of them. Forgets those that have had none for a while.
    pub fn with_readers(&mut self) -> Vec<(i64, Seen)> {
        let now = Instant::now();
        self.streams.retain(|_, (stream, used_at)| {
            if stream.told.receiver_count() > 0 {
                *used_at = now;
            }
            stream.next_page.forget(now);
            now < *used_at + LINGER
        });
        let streams = self.streams.iter();
        let read = streams.filter(|(_, (stream, _))| stream.told.receiver_count() > 0);
        let seen = read.map(|(id, (stream, _))| (*id, stream.seen()));
        seen.filter(|(_, seen)| !seen.gone).collect()
    }

    /// Whether the stream is remembered.
    pub fn has(&self, stream: i64) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether no stream is remembered.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Something has happened: readers may wait.
    pub fn wake(&mut self) {
        self.active_at = Some(Instant::now());
        self.asleep.clear();
    }

    /// How long nothing has happened.
    pub fn silence(&self) -> Duration {
        self.active_at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Sends all readers away.
    pub fn sleep(&mut self) {
        for (id, (stream, _)) in self.streams.drain() {
            self.asleep.insert(id, stream.seen().tail);
            stream.sleep();
        }
    }

    /// Whether readers at the end of this stream were sent away, and nothing has happened since.
    pub fn is_asleep(&self, stream: i64, tail: i64) -> bool {
        self.asleep.get(&stream) == Some(&tail)
    }
}

#[cfg(test)]
mod tests;
