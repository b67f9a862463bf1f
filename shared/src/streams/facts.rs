//! The columns in which the database answers.

use super::{Error, Expiry, Head, Position, Refusal};
use crate::LAST_SECOND;
use std::time::{Duration, SystemTime};

/// A verdict, and the facts of the stream if it is there.
#[derive(Debug)]
pub(super) struct Facts {
    pub verdict: String,
    pub incarnation: Option<i64>,
    pub tail_incarnation: Option<i64>,
    pub tail: Option<i64>,
    pub content_type: Option<String>,
    pub closed: Option<bool>,
    pub ttl: Option<i64>,
    /// Microseconds since 1970.
    pub expires_at: Option<i64>,
}

impl Facts {
    /// The facts of a stream that is there.
    pub fn head(self) -> Result<Head, Error> {
        let tail = Position {
            incarnation: there(self.tail_incarnation)?,
            end: there(self.tail)?,
        };
        let ttl = self.ttl.and_then(|seconds| u32::try_from(seconds).ok());
        Ok(Head {
            incarnation: there(self.incarnation)?,
            tail,
            content_type: there(self.content_type)?,
            closed: there(self.closed)?,
            expiry: match (ttl, self.expires_at) {
                (Some(seconds), _) => Expiry::Ttl(seconds),
                (None, Some(at)) => Expiry::At(from_microseconds(at)),
                (None, None) => Expiry::Never,
            },
        })
    }
}

/// A column that is never NULL with this verdict.
pub(super) fn there<T>(column: Option<T>) -> Result<T, Error> {
    column.ok_or_else(|| Error::Database(sqlx::Error::Decode("a column of a stream is NULL".into())))
}

/// Why an operation was refused, unless the verdict needs more than its name.
pub(super) fn refusal(verdict: &str) -> Error {
    Error::Refused(match verdict {
        "not_found" => Refusal::NotFound,
        "deleted" => Refusal::Deleted,
        "gone" => Refusal::Gone,
        "beyond" => Refusal::Beyond,
        "differs" => Refusal::Differs,
        "source_not_found" => Refusal::SourceNotFound,
        "source_deleted" => Refusal::SourceDeleted,
        "content_type" => Refusal::ContentType,
        "empty" => Refusal::Empty,
        "too_large" => Refusal::TooLarge,
        "epoch_start" => Refusal::EpochStart,
        "stream_seq" => Refusal::StreamSeq,
        "too_many_producers" => Refusal::TooManyProducers,
        "too_many_streams" => Refusal::TooManyStreams,
        "too_deep" => Refusal::TooDeep,
        _ => return Error::Database(sqlx::Error::Decode("a verdict of a stream is not known".into())),
    })
}

impl Expiry {
    /// The seconds of a time to live, and the microseconds since 1970 of a time.
    pub(super) fn columns(expiry: Option<Self>) -> (Option<i64>, Option<i64>) {
        match expiry {
            None | Some(Self::Never) => (None, None),
            Some(Self::Ttl(seconds)) => (Some(seconds.into()), None),
            Some(Self::At(at)) => (None, Some(to_microseconds(at))),
        }
    }
}

/// The last microsecond that RFC 3339 can write.
const LAST: i64 = LAST_SECOND * 1_000_000 + 999_999;

fn to_microseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).map_or(LAST, |at| at.min(LAST))
}

fn from_microseconds(at: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_stored_to_the_microsecond_and_within_what_the_database_knows() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_000);
        assert_eq!(from_microseconds(to_microseconds(at)), at);
        assert_eq!(to_microseconds(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(to_microseconds(far), LAST);
    }
}
