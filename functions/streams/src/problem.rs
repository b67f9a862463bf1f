//! What is wrong with a request, as clients see it: a closed set.

use crate::{
    header::{PRODUCER_EPOCH, PRODUCER_EXPECTED_SEQ, STREAM_CLOSED, STREAM_NEXT_OFFSET, TRUE, value},
    offset::Token,
};
use axum::http::HeaderName;
use serde::Serialize;
use shared::{
    problem::{BODY_TOO_LARGE, Problem, ProblemType},
    problem_types,
    streams::{Error, Refusal},
};
use std::time::Duration;

problem_types! {
    #[cfg(test)]
    ALL:
    INVALID_HEADER = BAD_REQUEST, "invalid-header", "Invalid Header",
        "A header does not fit; errors says which.";
    EMPTY_APPEND = BAD_REQUEST, "empty-append", "Empty Append",
        "The body has no byte or no message. Only a request that closes a stream may have an empty body.";
    OFFSET_BEYOND = BAD_REQUEST, "offset-beyond", "Offset Beyond the End",
        "The stream has no such offset: it is beyond the end, or inside of an append.";
    FORK_POINT = BAD_REQUEST, "fork-point", "No Such Fork Point",
        "The source has no such offset, or the data after the offset ends before the sub-offset.";
    PRODUCER_EPOCH_START = BAD_REQUEST, "producer-epoch-start", "Epoch Not Started at 0",
        "The first request of an epoch has the Producer-Seq 0.";
    PRODUCER_FENCED = FORBIDDEN, "producer-fenced", "Producer Fenced",
        "The producer has a later epoch; Producer-Epoch has its number.";
    STREAM_NOT_FOUND = NOT_FOUND, "stream-not-found", "Stream Not Found",
        "No stream has this path, or the one that had it has expired.";
    SOURCE_NOT_FOUND = NOT_FOUND, "fork-source-not-found", "Fork Source Not Found",
        "No stream has the path in Stream-Forked-From, or the one that had it has expired.";
    STREAM_EXISTS = CONFLICT, "stream-exists", "Stream Exists",
        "A stream with other properties has this path, or a deleted one that forks still read.";
    CLOSED = CONFLICT, "stream-closed", "Stream Closed",
        "The stream is closed: it takes no more data.";
    CONTENT_TYPE_DIFFERS = CONFLICT, "content-type-differs", "Content-Type Differs",
        "The stream, or the source of the fork, has another Content-Type.";
    PRODUCER_GAP = CONFLICT, "producer-gap", "Producer Gap",
        "A request of the producer is missing before this one; Producer-Expected-Seq has its number.";
    STREAM_SEQ_REGRESSION = CONFLICT, "stream-seq-regression", "Stream-Seq Regression",
        "Sequence conflict: Stream-Seq is not greater than that of the last append.";
    SOURCE_DELETED = CONFLICT, "fork-source-deleted", "Fork Source Deleted",
        "The stream in Stream-Forked-From was deleted.";
    FORK_TOO_DEEP = CONFLICT, "fork-too-deep", "Fork Too Deep",
        "The stream in Stream-Forked-From is a fork of a fork, and so on, a hundred times: it cannot be forked.";
    STREAM_DELETED = GONE, "stream-deleted", "Stream Deleted",
        "The stream was deleted; its data is there for its forks only.";
    OFFSET_GONE = GONE, "offset-gone", "Offset Gone",
        "The offset is of a stream that was deleted, or before the data that is still there. Start again at offset=-1.";
    TOO_MANY_PRODUCERS = TOO_MANY_REQUESTS, "too-many-producers", "Too Many Producers",
        "The stream has as many producers as it may have.";
    TOO_MANY_STREAMS = TOO_MANY_REQUESTS, "too-many-streams", "Too Many Streams",
        "There are as many streams as there may be.";
}

/// When a client that met a limit may try again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What clients see of an operation on the log that failed or was refused.
pub fn of(error: Error) -> Problem {
    match error {
        Error::Refused(refusal) => refused(refusal),
        Error::Database(error) => error.into(),
    }
}

fn refused(refusal: Refusal) -> Problem {
    let problem = Problem::new(kind(&refusal));
    match refusal {
        Refusal::Closed { tail } => problem
            .header(STREAM_CLOSED, TRUE)
            .header(STREAM_NEXT_OFFSET, value(Token(tail))),
        Refusal::StaleEpoch { epoch } => problem.header(PRODUCER_EPOCH, epoch.into()),
        Refusal::Gap { expected } => problem.header(PRODUCER_EXPECTED_SEQ, expected.into()),
        Refusal::TooManyProducers | Refusal::TooManyStreams => problem.retry_after(RETRY_AFTER),
        _ => problem,
    }
}

fn kind(refusal: &Refusal) -> &'static ProblemType {
    match refusal {
        Refusal::NotFound => &STREAM_NOT_FOUND,
        Refusal::Deleted => &STREAM_DELETED,
        Refusal::Gone => &OFFSET_GONE,
        Refusal::Beyond => &OFFSET_BEYOND,
        Refusal::Differs => &STREAM_EXISTS,
        Refusal::SourceNotFound => &SOURCE_NOT_FOUND,
        Refusal::SourceDeleted => &SOURCE_DELETED,
        Refusal::ContentType => &CONTENT_TYPE_DIFFERS,
        Refusal::Empty => &EMPTY_APPEND,
        Refusal::TooLarge => &BODY_TOO_LARGE,
        Refusal::Closed { .. } => &CLOSED,
        Refusal::StaleEpoch { .. } => &PRODUCER_FENCED,
        Refusal::EpochStart => &PRODUCER_EPOCH_START,
        Refusal::Gap { .. } => &PRODUCER_GAP,
        Refusal::StreamSeq => &STREAM_SEQ_REGRESSION,
        Refusal::TooManyProducers => &TOO_MANY_PRODUCERS,
        Refusal::TooManyStreams => &TOO_MANY_STREAMS,
        Refusal::TooDeep => &FORK_TOO_DEEP,
    }
}

/// A header that does not fit, and why.
pub fn invalid_header(header: &HeaderName, detail: &str) -> Problem {
    #[derive(Serialize)]
    struct HeaderError<'a> {
        detail: &'a str,
        header: &'a str,
    }
    let header = header.as_str();
    Problem::new(&INVALID_HEADER).member("errors", [HeaderError { detail, header }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_slug_that_the_runtime_does_not_have() {
        let all = ALL.iter().chain(shared::problem::RUNTIME).map(|kind| kind.slug);
        let slugs: BTreeSet<_> = all.clone().collect();
        assert_eq!(slugs.len(), all.count());
    }
}
