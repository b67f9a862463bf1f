//! Why an operation was refused.

use super::Position;
use crate::problem::Problem;
use thiserror::Error;

/// Why an operation has not happened.
#[derive(Debug, Error)]
pub enum Error {
    /// The stream does not allow the operation.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The database could not be used, or has not answered. Where something is written, it may or may not have happened.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// For handlers that append and read: `?` answers what a failed query does, and 500 where the stream refuses. A refusal that a
/// client can cause, such as [`Closed`](Refusal::Closed), deserves a problem of the function: match it first.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::internal(refusal),
            Error::Database(error) => error.into(),
        }
    }
}

/// Why a stream does not allow an operation. Nothing has been written.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// No stream is at the path, or it has expired.
    #[error("no stream is at this path")]
    NotFound,
    /// The stream was deleted, or has expired, but has forks that are read through it. Its path cannot be used.
    #[error("the stream was deleted and has forks")]
    Deleted,
    /// The position is that of an earlier stream at this path, or of records that were deleted.
    #[error("the position is gone")]
    Gone,
    /// The position is not one of the stream, or the sub-offset of a fork is beyond the next record.
    #[error("the position is beyond the end")]
    Beyond,
    /// The stream that is at the path was created with other settings, or closed since.
    #[error("a stream with other settings is at this path")]
    Differs,
    /// No stream is at the path that is to be forked.
    #[error("no stream is at the path that is to be forked")]
    SourceNotFound,
    /// The stream that is to be forked was deleted, or has expired, and has other forks.
    #[error("the stream that is to be forked was deleted")]
    SourceDeleted,
    /// The content type is not that of the stream, or of the source of a fork.
    #[error("the content type is not that of the stream")]
    ContentType,
    /// The data have no byte, or no value of JSON.
    #[error("nothing is to be appended")]
    Empty,
    /// The record would have more than 16 MiB.
    #[error("the record is too large")]
    TooLarge,
    /// The stream is closed.
    #[error("the stream is closed")]
    Closed {
        /// Its end.
        tail: Position,
    },
    /// The producer has begun a newer epoch.
    #[error("the producer has begun a newer epoch")]
    StaleEpoch {
        /// The newest epoch.
        epoch: i64,
    },
    /// The first sequence number of an epoch is not 0.
    #[error("an epoch begins with sequence number 0")]
    EpochStart,
    /// Appends of this producer are missing before this one.
    #[error("the sequence number is not the next one")]
    Gap {
        /// The next sequence number.
        expected: i64,
    },
    /// `Stream-Seq` is not greater than that of the last append which had one.
    #[error("Stream-Seq is not greater than the last one")]
    StreamSeq,
    /// The stream has had too many producers.
    #[error("the stream has too many producers")]
    TooManyProducers,
    /// There are too many streams.
    #[error("there are too many streams")]
    TooManyStreams,
    /// The stream that is to be forked is a fork of a fork, and so on, too often.
    #[error("the stream that is to be forked has too many sources")]
    TooDeep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_answers_500_to_a_refusal_and_what_a_failed_query_deserves() {
        let status = |error: Error| Problem::from(error).status().as_u16();
        assert_eq!(status(Refusal::NotFound.into()), 500);
        assert_eq!(status(sqlx::Error::PoolTimedOut.into()), 503);
        assert_eq!(status(sqlx::Error::RowNotFound.into()), 500);
    }
}
