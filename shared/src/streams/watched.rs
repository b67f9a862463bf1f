//! The streams that readers of this process wait for.

use super::stream::{Reader, Seen, Stream};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a stream is remembered after its last reader: a long poll comes back within this time.
const LINGER: Duration = Duration::from_secs(30);

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
        let reader = Reader::new(stream);
        if is_new {
            self.wake();
        }
        (reader, is_new)
    }

    /// Records what has become known of a stream. Returns it if a page has to be read before it is published.
    #[must_use]
    pub fn record(&mut self, stream: i64, seen: impl FnOnce(&mut Seen)) -> Option<Arc<Stream>> {
        let (stream, _) = self.streams.get(&stream)?;
        stream.record(seen).then(|| Arc::clone(stream))
    }

    /// The streams that have readers who may find more, and what is known of them. Forgets those that have had none for a while.
    pub fn with_readers(&mut self) -> Vec<(i64, Seen)> {
        let now = Instant::now();
        self.streams.retain(|_, (stream, used_at)| {
            if stream.has_readers() {
                *used_at = now;
            }
            stream.next_page.forget(now);
            now < *used_at + LINGER
        });
        let streams = self.streams.iter();
        let read = streams.filter(|(_, (stream, _))| stream.has_readers());
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
