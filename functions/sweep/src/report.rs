//! The report of a run: JSON for a platform, text for a person.

use serde_json::json;
use shared::{database::Reason, runtime::Format};
use std::time::Duration;

const USAGE: &str = "\
sweep takes no arguments

Deletes the answers to requests with an Idempotency-Key that are older than IDEMPOTENCY_MAX_AGE, the streams that were
deleted or have expired, and the records that STREAM_RETENTION does not keep.
DATABASE_URL names the database. The report is text, or one line of JSON in a Cloud Run job and on Lambda.";

/// How a run has ended. Only `Swept` is a success.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Nothing that has expired is left, except what others had locked.
    Swept,
    /// A signal or the deadline came first.
    Stopped,
    /// The database could not be used.
    Failed(Reason),
    /// It has not begun: it takes no arguments.
    Usage,
}

/// How many rows of each kind were deleted.
#[derive(Debug, Default)]
pub struct Deleted {
    pub idempotency_keys: u64,
    pub stream_rows: u64,
}

/// What a run has deleted, whatever its end.
#[derive(Debug)]
pub struct Report {
    pub end: End,
    pub deleted: Deleted,
    pub duration: Duration,
}

impl Report {
    pub fn usage() -> Self {
        Self {
            end: End::Usage,
            deleted: Deleted::default(),
            duration: Duration::ZERO,
        }
    }

    pub fn in_format(&self, format: Format) -> String {
        match format {
            Format::Json => self.json(),
            Format::Text => self.text(),
        }
    }

    /// An object with a `status`: `swept`, `stopped`, or `failed` with a `reason` of `/health/db` or `usage`; and how many rows
    /// are `deleted` of each kind.
    fn json(&self) -> String {
        let Deleted {
            idempotency_keys,
            stream_rows,
        } = self.deleted;
        let mut report = json!({
            "status": self.status(),
            "deleted": {"idempotency_keys": idempotency_keys, "stream_rows": stream_rows},
            "duration_ms": self.duration.as_millis(),
        });
        match self.end {
            End::Failed(reason) => report["reason"] = json!(reason),
            End::Usage => report["usage"] = USAGE.into(),
            End::Swept | End::Stopped => {}
        }
        report.to_string()
    }

    fn text(&self) -> String {
        let (keys, rows) = (self.deleted.idempotency_keys, self.deleted.stream_rows);
        let ms = self.duration.as_millis();
        let deleted = format!("{keys} idempotency keys and {rows} rows of streams deleted in {ms} ms");
        match self.end {
            End::Swept => deleted,
            End::Stopped => format!("stopped: {deleted}"),
            End::Failed(reason) => format!("failed ({reason}): {deleted}"),
            End::Usage => USAGE.to_owned(),
        }
    }

    fn status(&self) -> &'static str {
        match self.end {
            End::Swept => "swept",
            End::Stopped => "stopped",
            End::Failed(_) | End::Usage => "failed",
        }
    }
}
