//! What is wrong with a request, as clients see it: a closed set.

use crate::{
    header::{PRODUCER_EPOCH, PRODUCER_EXPECTED_SEQ, STREAM_CLOSED, STREAM_NEXT_OFFSET, TRUE, value},
    offset::Token,
};
use axum::http::{HeaderName, StatusCode};
use serde::Serialize;
use shared::{
    problem::{Problem, ProblemType},
    streams::{Error, Refusal},
};
use std::time::Duration;

macro_rules! problem_types {
    ($($name:ident { status: $status:ident, $($member:ident: $text:literal),* })*) => {
        $(pub const $name: ProblemType = ProblemType { status: StatusCode::$status, $($member: $text),* };)*

        #[cfg(test)]
        const ALL: &[ProblemType] = &[$($name),*];
    };
}

problem_types! {
    INVALID_HEADER { status: BAD_REQUEST, slug: "invalid-header", title: "Invalid Header",
        detail: "A header does not fit; errors says which." }
    EMPTY_APPEND { status: BAD_REQUEST, slug: "empty-append", title: "Empty Append",
        detail: "The body has no byte or no message. Only a request that closes a stream may have an empty body." }
    OFFSET_BEYOND { status: BAD_REQUEST, slug: "offset-beyond", title: "Offset Beyond the End",
        detail: "The stream has no such offset: it is beyond the end, or inside of an append." }
    FORK_POINT { status: BAD_REQUEST, slug: "fork-point", title: "No Such Fork Point",
        detail: "The source has no such offset, or the data after the offset ends before the sub-offset." }
    PRODUCER_EPOCH_START { status: BAD_REQUEST, slug: "producer-epoch-start", title: "Epoch Not Started at 0",
        detail: "The first request of an epoch has the Producer-Seq 0." }
    PRODUCER_FENCED { status: FORBIDDEN, slug: "producer-fenced", title: "Producer Fenced",
        detail: "The producer has a later epoch; Producer-Epoch has its number." }
    STREAM_NOT_FOUND { status: NOT_FOUND, slug: "stream-not-found", title: "Stream Not Found",
        detail: "No stream has this path, or the one that had it has expired." }
    SOURCE_NOT_FOUND { status: NOT_FOUND, slug: "fork-source-not-found", title: "Fork Source Not Found",
        detail: "No stream has the path in Stream-Forked-From, or the one that had it has expired." }
    STREAM_EXISTS { status: CONFLICT, slug: "stream-exists", title: "Stream Exists",
        detail: "A stream with other properties has this path, or a deleted one that forks still read." }
    CLOSED { status: CONFLICT, slug: "stream-closed", title: "Stream Closed",
        detail: "The stream is closed: it takes no more data." }
    CONTENT_TYPE_DIFFERS { status: CONFLICT, slug: "content-type-differs", title: "Content-Type Differs",
        detail: "The stream, or the source of the fork, has another Content-Type." }
    PRODUCER_GAP { status: CONFLICT, slug: "producer-gap", title: "Producer Gap",
        detail: "A request of the producer is missing before this one; Producer-Expected-Seq has its number." }
    STREAM_SEQ_REGRESSION { status: CONFLICT, slug: "stream-seq-regression", title: "Stream-Seq Regression",
        detail: "Sequence conflict: Stream-Seq is not greater than that of the last append." }
    SOURCE_DELETED { status: CONFLICT, slug: "fork-source-deleted", title: "Fork Source Deleted",
        detail: "The stream in Stream-Forked-From was deleted." }
    STREAM_DELETED { status: GONE, slug: "stream-deleted", title: "Stream Deleted",
        detail: "The stream was deleted; its data is there for its forks only." }
    OFFSET_GONE { status: GONE, slug: "offset-gone", title: "Offset Gone",
        detail: "The offset is of a stream that was deleted, or before the data that is still there. Start again at offset=-1." }
    TOO_MANY_PRODUCERS { status: TOO_MANY_REQUESTS, slug: "too-many-producers", title: "Too Many Producers",
        detail: "The stream has as many producers as it may have." }
    TOO_MANY_STREAMS { status: TOO_MANY_REQUESTS, slug: "too-many-streams", title: "Too Many Streams",
        detail: "There are as many streams as there may be." }
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
        Refusal::Closed { .. } => &CLOSED,
        Refusal::StaleEpoch { .. } => &PRODUCER_FENCED,
        Refusal::EpochStart => &PRODUCER_EPOCH_START,
        Refusal::Gap { .. } => &PRODUCER_GAP,
        Refusal::StreamSeq => &STREAM_SEQ_REGRESSION,
        Refusal::TooManyProducers => &TOO_MANY_PRODUCERS,
        Refusal::TooManyStreams => &TOO_MANY_STREAMS,
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
