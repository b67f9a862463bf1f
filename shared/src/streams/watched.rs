//! The streams that readers of this process wait for.

use super::{Cursor, Page, Refusal};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

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

/// The page that was read last by a reader at the end, for all others at the same cursor.
pub(super) type LastPage = Option<(Cursor, usize, Result<Weak<Page>, Refusal>)>;

/// A stream with readers.
pub(super) struct Stream {
    pub seen: watch::Sender<Seen>,
    pub last_page: Mutex<LastPage>,
}

/// A reader's part of a stream.
pub(super) struct Reader {
    pub seen: watch::Receiver<Seen>,
    pub stream: Arc<Stream>,
}

/// The streams, by their numbers.
#[derive(Default)]
pub(super) struct Watched {
    streams: HashMap<i64, (Arc<Stream>, Instant)>,
    /// When something happened last, or when a stream got its first reader.
    pub active_at: Option<Instant>,
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
            let last_page = Mutex::default();
            (
                Arc::new(Stream {
                    seen: watch::Sender::new(seen),
                    last_page,
                }),
                now,
            )
        });
        *used_at = now;
        let reader = Reader {
            seen: stream.seen.subscribe(),
            stream: Arc::clone(stream),
        };
        if is_new {
            self.active_at = Some(now);
        }
        (reader, is_new)
    }

    /// Records what has become known of a stream, and wakes its readers.
    pub fn record(&mut self, stream: i64, seen: impl FnOnce(&mut Seen)) {
        if let Some((stream, _)) = self.streams.get(&stream) {
            stream.seen.send_modify(seen);
        }
    }

    /// The streams that have readers, and what is known of them. Forgets those that have had none for a while.
    pub fn with_readers(&mut self) -> Vec<(i64, Seen)> {
        let now = Instant::now();
        self.streams.retain(|_, (stream, used_at)| {
            if stream.seen.receiver_count() > 0 {
                *used_at = now;
            }
            now < *used_at + LINGER
        });
        let streams = self.streams.iter();
        let read = streams.filter(|(_, (stream, _))| stream.seen.receiver_count() > 0);
        read.map(|(id, (stream, _))| (*id, *stream.seen.borrow())).collect()
    }

    /// Whether no stream is remembered.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Sends all readers away.
    pub fn sleep(&mut self) {
        for (_, (stream, _)) in self.streams.drain() {
            stream.seen.send_modify(|seen| seen.asleep = true);
        }
    }
}
