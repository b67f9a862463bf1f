//! Why a migrator stopped: a closed set, with a sentence on what to do.

use super::{Reason, table::TableError};
use std::time::Duration;

/// Why a migrator stopped. The message is for the operator: it may hold SQL and names of the schema, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be used.
    #[error("the database cannot be used; the log has the cause")]
    Database(Reason),
    /// The table of migrations cannot be used.
    #[error("{0}")]
    Table(String),
    /// The folder of migrations cannot be read, or a file's name is invalid.
    #[error("the migrations cannot be used: {0}")]
    Files(String),
    /// A file holds something that must not run.
    #[error("{file} cannot run, and nothing has: line {line}: {cause}")]
    Invalid {
        /// The file's name.
        file: String,
        /// The line, from 1 on.
        line: usize,
        /// What, and what to do about it.
        cause: String,
    },
    /// `DATABASE_URL` leads to a pooler in transaction mode.
    #[error(
        "DATABASE_URL leads to a pooler in transaction mode, which cannot hold a migrator's lock: name the server itself, \
         or a pooler in session mode"
    )]
    Pooler,
    /// Another migrator did not finish in time.
    #[error("another migrator held the lock for longer than MIGRATE_WAIT ({0:?})")]
    Busy(Duration),
    /// A file differs from what was applied under its version.
    #[error("{file} was changed after it was applied: put its applied text back, and make the change in a new file")]
    Drift {
        /// The file's name.
        file: String,
    },
    /// An old version is applied that this build has no file for.
    #[error("version {0} is applied and has no file here: put the file back")]
    Missing(i64),
    /// A file is older than what is applied.
    #[error("{file} is out of order, because version {newest} is applied already: give it a newer number")]
    OutOfOrder {
        /// The file's name.
        file: String,
        /// The newest version applied.
        newest: i64,
    },
    /// A newer release has migrated: this one must not revert anything.
    #[error("the database is ahead, at version {current}, and this build ends at {expected}: use the newer build")]
    Ahead {
        /// The newest version applied.
        current: i64,
        /// The newest version of this build.
        expected: i64,
    },
    /// A file has failed, and is not proven to be rolled back.
    #[error(
        "{file} is dirty: it may be half done ({cause}). {found}. Then record where the schema is: `migrate stamp \
         {version}` if its effect is there, `migrate stamp {before}` if it is not"
    )]
    Dirty {
        /// The file's name.
        file: String,
        /// Its version.
        version: i64,
        /// The version before it.
        before: i64,
        /// Why it failed.
        cause: String,
        /// What was found in the database, and what to do about it.
        found: String,
    },
    /// There is an INVALID index, which no query uses and every write updates. `CREATE INDEX IF NOT EXISTS` would skip
    /// it.
    #[error("{found}, before {file} can run")]
    InvalidIndex {
        /// The file that was next.
        file: String,
        /// Which indexes, and what to do about them.
        found: String,
    },
    /// No file has this version.
    #[error("version {0} has no file here")]
    NoSuchVersion(i64),
    /// A migration has no .down.sql file.
    #[error("version {0} has no .down.sql file")]
    Irreversible(i64),
    /// Other sessions held a lock that a file needs.
    #[error("{file} did not get the locks it needs in {attempts} attempts of MIGRATE_LOCK_TIMEOUT: {cause}")]
    Locked {
        /// The file's name.
        file: String,
        /// How often it was tried.
        attempts: u32,
        /// The message of Postgres.
        cause: String,
    },
    /// Postgres rejected a file, which left nothing behind.
    #[error("{file} failed and left nothing behind: {cause}")]
    Failed {
        /// The file's name.
        file: String,
        /// The message of Postgres.
        cause: String,
    },
    /// The connection broke while a file ran in a transaction with its record.
    #[error("the connection broke while {file} ran: the next run finds it applied or not at all ({cause})")]
    Lost {
        /// The file's name.
        file: String,
        /// The error of the connection.
        cause: String,
    },
    /// A signal or the platform's deadline ended the run.
    #[error("stopped by {cause}: {left}")]
    Stopped {
        /// What ended the run.
        cause: &'static str,
        /// What state the file is in that ran or was next.
        left: String,
    },
    /// A file has ended its transaction in a way that its text does not show.
    #[error(
        "{file} ends the transaction it runs in: take its COMMIT or ROLLBACK out, undo what it did, and then \
         `migrate stamp {before}`"
    )]
    EndsItsTransaction {
        /// The file's name.
        file: String,
        /// The version before it.
        before: i64,
    },
}

impl MigrateError {
    /// The word in the report.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Database(reason) => reason.as_str(),
            Self::Table(_) | Self::Files(_) => "misconfigured",
            Self::Invalid { .. } => "invalid_file",
            Self::Pooler => "pooler",
            Self::Busy(_) => "busy",
            Self::Drift { .. } | Self::Missing(_) => "schema_drift",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Ahead { .. } => "schema_ahead",
            Self::Dirty { .. } | Self::EndsItsTransaction { .. } => "schema_dirty",
            Self::InvalidIndex { .. } => "invalid_index",
            Self::NoSuchVersion(_) => "no_such_version",
            Self::Irreversible(_) => "irreversible",
            Self::Locked { .. } => "locked",
            Self::Failed { .. } => "failed",
            Self::Lost { .. } => "connection_lost",
            Self::Stopped { .. } => "stopped",
        }
    }
}

impl From<Reason> for MigrateError {
    fn from(reason: Reason) -> Self {
        Self::Database(reason)
    }
}

impl From<TableError> for MigrateError {
    fn from(unusable: TableError) -> Self {
        Self::Table(unusable.to_string())
    }
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(cause) if cause.is::<TableError>() => Self::Table(cause.to_string()),
            error => Self::Database(super::logged(&error)),
        }
    }
}
