//! Maps errors of `object_store` to kinds of errors.

use super::{connector::Answered, step::Step};
use crate::{
    causes::causes,
    storage::{Error, Kind},
};
use hyper::StatusCode;
use object_store::{
    Error as Store,
    client::{HttpError, HttpErrorKind},
};

/// Judges by the answer of the store, never by the text of an error, which names objects.
pub fn failure(error: Store, answered: &Answered) -> Error {
    let kind = match (&error, answered) {
        (Store::AlreadyExists { .. }, _) => Kind::AlreadyExists,
        (
            _,
            Answered {
                status: Some(status), ..
            },
        ) if !status.is_success() => refused(*status, answered),
        // No metadata server answers: this is not Google Cloud.
        (_, Answered { step: Step::Token, .. }) => Kind::Unauthenticated,
        _ => broken(&error),
    };
    Error::new(kind, error)
}

/// Only the code tells a missing key from a missing bucket:
/// <https://cloud.google.com/storage/docs/xml-api/reference-status>.
fn refused(status: StatusCode, answered: &Answered) -> Kind {
    match (status.as_u16(), answered.code.as_deref()) {
        (408, _) => Kind::Timeout,
        (429, _) => Kind::Throttled,
        (500..600, _) => Kind::Unreachable,
        // Such as a revoked key.
        _ if answered.step == Step::Token => Kind::Unauthenticated,
        (_, Some("NoSuchBucket")) => Kind::BucketNotFound,
        (_, Some("BadDigest" | "InvalidDigest")) => Kind::Corrupt,
        (401, _) => Kind::Unauthenticated,
        (403, _) => Kind::Forbidden,
        (404, _) => Kind::NotFound,
        (304 | 412, _) => Kind::PreconditionFailed,
        (416, _) => Kind::InvalidRange,
        _ => Kind::Other,
    }
}

/// There was no answer, or it could not be parsed.
fn broken(error: &Store) -> Kind {
    let mut causes = causes(error).filter_map(|error| error.downcast_ref::<HttpError>());
    match causes.next().map(HttpError::kind) {
        Some(HttpErrorKind::Timeout) => Kind::Timeout,
        Some(_) => Kind::Unreachable,
        None => Kind::Other,
    }
}
