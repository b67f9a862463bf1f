//! Positions, and what is read from them.

use super::Expiry;
use bytes::Bytes;

/// A position in a stream. Positions grow in the order of reading, from a source to its forks too.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The stream that holds the record which ends here: a path has another one when it is created again, and a fork has
    /// those of its sources up to where it was forked.
    pub incarnation: i64,
    /// The bytes of all records up to here.
    pub end: i64,
}

/// Where a read begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadFrom {
    /// The oldest record.
    Start,
    /// After this position.
    At(Position),
    /// After the newest record.
    Tail,
}

/// The facts of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// The stream's number, which grows: a path has another one when it is created again.
    pub incarnation: i64,
    /// Where the newest record ends.
    pub tail: Position,
    /// As it was when the stream was created.
    pub content_type: String,
    /// Whether nothing can be appended any more.
    pub closed: bool,
    /// When the stream expires.
    pub expiry: Expiry,
}

/// What one append has stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Where the record ends.
    pub position: Position,
    /// At least one byte.
    pub data: Bytes,
}

/// Records in their order, and the facts of the stream at the same moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The facts of the stream.
    pub head: Head,
    /// The position that was asked for.
    pub begin: Position,
    /// The records after the position that was asked for: all that are left, or as many as fit.
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub next: Position,
}

impl Page {
    /// How many bytes of data it has.
    pub fn size(&self) -> usize {
        self.records.iter().map(|record| record.data.len()).sum()
    }

    /// Whether the page reaches the tail of the stream.
    pub fn is_up_to_date(&self) -> bool {
        self.next.end == self.head.tail.end
    }

    /// Whether it has anything that a reader at its beginning did not know.
    pub(super) fn has_news(&self) -> bool {
        self.head.closed || !self.records.is_empty()
    }

    /// Whether nothing will come after it.
    pub fn is_end(&self) -> bool {
        self.is_up_to_date() && self.head.closed
    }

    /// Where [`follow`](super::Streams::follow) goes on.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            incarnation: self.head.incarnation,
            at: self.next,
        }
    }
}

/// Where a reader of a stream is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Cursor {
    /// The stream.
    pub incarnation: i64,
    /// The position in it.
    pub at: Position,
}
