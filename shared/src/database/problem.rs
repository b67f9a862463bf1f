//! What clients see of a failed query.

use super::{
    Reason,
    reason::{cause, is_unstorable},
    sqlstate::{DEADLOCK, READ_ONLY, SERIALIZATION_FAILURE, sqlstate},
};
use crate::problem::{INTERNAL, Problem, UNAVAILABLE, UNSTORABLE_VALUE};
use std::time::Duration;

/// When a client whose request the database could not serve may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// For handlers: `?` answers 503 with `Retry-After` where the database cannot be reached, is overloaded, or has not answered
/// by the deadline; 422 where a text has a character or a length that the database cannot store; and 500 otherwise, also for
/// a violated constraint that [`violation`](super::violation) does not name, and for a row that is not there: read one that
/// may be missing with `fetch_optional`, and answer what the request deserves.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if !is_logged(&error) {
            tracing::error!(cause = cause(&error), "the answer to a query does not fit");
        }
        if is_temporary(&error) {
            Self::new(&UNAVAILABLE).retry_after(RETRY_AFTER)
        } else if is_unstorable(&error) {
            Self::new(&UNSTORABLE_VALUE)
        } else {
            Self::new(&INTERNAL)
        }
    }
}

/// Whether the log has the cause already. `connection` and `transaction` see what the server and its session do, but not how
/// sqlx decodes a row.
fn is_logged(error: &sqlx::Error) -> bool {
    use sqlx::Error::{ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Decode, RowNotFound, TypeNotFound};
    let does_not_fit = matches!(
        error,
        ColumnDecode { .. }
            | ColumnIndexOutOfBounds { .. }
            | ColumnNotFound(_)
            | Decode(_)
            | RowNotFound
            | TypeNotFound { .. }
    );
    !does_not_fit
}

/// Whether the same request may succeed in a moment.
fn is_temporary(error: &sqlx::Error) -> bool {
    let reason = Reason::from(error);
    let code = sqlstate(error);
    matches!(reason, Reason::Unreachable | Reason::Timeout | Reason::TooManyConnections)
        || matches!(&*code, DEADLOCK | SERIALIZATION_FAILURE | READ_ONLY)
        // Insufficient resources, but for a full disk.
        || (code.starts_with("53") && code != "53100")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{http::header::RETRY_AFTER, response::IntoResponse};
    use std::io;

    fn status(error: sqlx::Error) -> (u16, bool) {
        let answer = Problem::from(error).into_response();
        (answer.status().as_u16(), answer.headers().contains_key(RETRY_AFTER))
    }

    #[test]
    fn only_what_may_pass_is_503_with_a_time_to_retry_after() {
        let configured = |reason: Reason| sqlx::Error::Configuration(reason.into());
        for error in [
            io::Error::from(io::ErrorKind::TimedOut).into(),
            io::Error::from(io::ErrorKind::ConnectionReset).into(),
            sqlx::Error::PoolTimedOut,
            configured(Reason::Unreachable),
        ] {
            let shown = format!("{error:?}");
            assert_eq!(status(error), (503, true), "{shown}");
        }
        for error in [
            sqlx::Error::RowNotFound,
            sqlx::Error::Decode("secret".into()),
            sqlx::Error::Protocol("secret".into()),
            configured(Reason::NotConfigured),
            configured(Reason::Misconfigured),
        ] {
            let shown = format!("{error:?}");
            assert_eq!(status(error), (500, false), "{shown}");
        }
    }
}
