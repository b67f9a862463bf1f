//! Why an operation on the bucket failed: a closed set, the same for every backend.

use super::InvalidKey;
use crate::{
    causes::causes,
    problem::{self, Problem},
};
use axum::BoxError;
use std::{error::Error as StdError, fmt, time::Duration};

/// When a client whose request could not reach the store may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failed operation. Its `Display` is safe to show to clients; its source is for the log.
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    source: Option<BoxError>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// No setting names a bucket.
    NotConfigured,
    /// A setting cannot work: an invalid key file, the wrong region.
    Misconfigured,
    /// There is no object of this key.
    NotFound,
    /// There is no bucket of this name.
    BucketNotFound,
    /// There is an object of this key, and the put was create-only.
    AlreadyExists,
    /// The object changed while it was being read.
    PreconditionFailed,
    /// The object has fewer bytes than the range begins with.
    InvalidRange,
    /// The store accepts the credentials, but they do not allow this.
    Forbidden,
    /// The store does not accept the credentials, or there are none.
    Unauthenticated,
    /// The store asks for fewer requests.
    Throttled,
    /// No answer within the deadline.
    Timeout,
    /// Nothing answers there, or only with errors of the server.
    Unreachable,
    /// What arrived is not what was sent.
    Corrupt,
    /// The stream of content that the caller passed failed.
    Body,
    /// No store takes such a request: an invalid key, a lifetime that is too long.
    Invalid,
    /// This backend cannot do it; the source says what can.
    Unsupported,
    /// Anything else; the source has the cause.
    Other,
}

impl Error {
    pub(super) fn new(kind: Kind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// Whether another attempt could succeed. Every operation here may be repeated: even a create-only put recognises its own
    /// object.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Throttled | Kind::Timeout | Kind::Unreachable)
    }

    /// This error and its causes, for a log: at most 2,000 bytes, because some of it may come from the store.
    pub fn chain(&self) -> String {
        let mut chain = causes(self).map(ToString::to_string).collect::<Vec<_>>().join(": ");
        chain.truncate(chain.floor_char_boundary(2000));
        chain
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind, source: None }
    }
}

impl From<InvalidKey> for Error {
    fn from(invalid: InvalidKey) -> Self {
        Self::new(Kind::Invalid, invalid)
    }
}

/// For handlers: `?` answers 503 where another attempt may succeed, and 500 otherwise. The log has the cause.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        tracing::error!(cause = error.chain(), "the bucket cannot be used");
        if error.is_transient() {
            Self::new(&problem::UNAVAILABLE).retry_after(RETRY_AFTER)
        } else {
            Self::new(&problem::INTERNAL)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::NotConfigured => "no bucket is configured",
            Kind::Misconfigured => "the bucket is misconfigured",
            Kind::NotFound => "there is no such object",
            Kind::BucketNotFound => "there is no such bucket",
            Kind::AlreadyExists => "there is such an object already",
            Kind::PreconditionFailed => "the object has changed",
            Kind::InvalidRange => "the range begins after the object's end",
            Kind::Forbidden => "the credentials do not allow it",
            Kind::Unauthenticated => "the credentials are not accepted",
            Kind::Throttled => "the store asks for fewer requests",
            Kind::Timeout => "the store did not answer in time",
            Kind::Unreachable => "the store cannot be reached",
            Kind::Corrupt => "the content does not match its checksum",
            Kind::Invalid => "the request is invalid",
            Kind::Body => "the content could not be read",
            Kind::Unsupported => "this store cannot do that",
            Kind::Other => "the store failed",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
