//! Creation, of forks too.

use super::{Error, From, Head, Streams};
use crate::deadline::Deadline;
use bytes::Bytes;
use std::time::SystemTime;

/// When a stream expires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expiry {
    /// Never.
    Never,
    /// When it was not read or written for this many seconds.
    Ttl(u32),
    /// At this time, by the database's clock.
    At(SystemTime),
}

/// The stream that is to be at a path.
#[derive(Clone, Debug)]
pub struct Create {
    /// The path.
    pub path: String,
    /// `application/octet-stream`, or that of the source of a fork, if it is `None`.
    pub content_type: Option<String>,
    /// Never, or that of the source of a fork, if it is `None`.
    pub expiry: Option<Expiry>,
    /// Whether it is closed at once.
    pub closed: bool,
    /// The first record.
    pub data: Option<Bytes>,
    /// What it is a fork of.
    pub fork: Option<Fork>,
}

/// What a stream is a fork of.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The path of the source.
    pub source: String,
    /// The position up to which the fork has the records of its source: the tail if it is `None`, and any where the fork
    /// exists already.
    pub at: Option<From>,
    /// How much of the record after that position the fork has, in the unit of the content type.
    pub sub_offset: u64,
    /// That much of the record.
    pub prefix: Option<Bytes>,
}

/// Whether a stream was created.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Created {
    /// It was.
    New,
    /// The same stream was there already.
    Existing,
}

impl Streams {
    /// Creates a stream, unless the same one is there.
    ///
    /// # Errors
    /// [`Differs`](super::Refusal::Differs), [`Deleted`](super::Refusal::Deleted),
    /// [`TooManyStreams`](super::Refusal::TooManyStreams); for a fork [`SourceNotFound`](super::Refusal::SourceNotFound),
    /// [`SourceDeleted`](super::Refusal::SourceDeleted), [`Beyond`](super::Refusal::Beyond),
    /// [`Gone`](super::Refusal::Gone) and [`ContentType`](super::Refusal::ContentType).
    pub async fn create(&self, deadline: &Deadline, create: Create) -> Result<(Created, Head), Error> {
        unimplemented!("{deadline:?} {create:?}")
    }
}
