//! Why Postgres cannot be used: a closed set of reasons, and the reason of each error of sqlx, of servers and of
//! poolers.

use super::{
    proxy::{MISCONFIGURED, TIMEOUT, TLS, UNREACHABLE},
    sqlstate::{LOCK_NOT_AVAILABLE, sqlstate},
};
use crate::closed_set;
use std::{fmt, io};

closed_set! {
    /// Why Postgres, or its schema, cannot be used: the closed set of `/health/db`.
    #[cfg_attr(feature = "openapi", schema(as = DatabaseFault))]
    pub enum Reason {
        /// `DATABASE_URL` is not set.
        NotConfigured = "not_configured",
        /// A setting cannot work, or names a database that does not exist or cannot be read.
        Misconfigured = "misconfigured",
        /// Nothing answers at the address, or the server is starting up or shutting down.
        Unreachable = "unreachable",
        /// No answer within the deadline.
        Timeout = "timeout",
        /// The server rejects the user or the password, or `pg_hba.conf` does.
        AuthFailed = "auth_failed",
        /// The TLS handshake failed.
        TlsFailed = "tls_failed",
        /// The server or the pooler has no connection left.
        TooManyConnections = "too_many_connections",
        /// Migrations of this build are not applied.
        SchemaBehind = "schema_behind",
        /// A migration failed halfway.
        SchemaDirty = "schema_dirty",
        /// What is applied is not what this build has under the same version.
        SchemaDrift = "schema_drift",
        /// Anything else; the log has the cause.
        Error = "error",
    }
}

/// Messages of poolers, which send SQLSTATE 08P01 or XX000 for any cause.
const POOLERS: &[(&str, Reason)] = &[
    ("no more connections allowed", Reason::TooManyConnections),
    ("max clients reached", Reason::TooManyConnections),
    ("query_wait_timeout", Reason::TooManyConnections),
    ("is disabled", Reason::Unreachable),
    ("cannot connect", Reason::Unreachable),
    ("client_login_timeout", Reason::Unreachable),
    ("pooler is shut", Reason::Unreachable),
    ("pgbouncer is shutting down", Reason::Unreachable),
    ("server DNS lookup failed", Reason::Unreachable),
    ("server conn crashed", Reason::Unreachable),
    ("server login has been failing", Reason::Unreachable),
    ("SSL required", Reason::TlsFailed),
    ("TLS connection required", Reason::TlsFailed),
    ("authentication failed", Reason::AuthFailed),
    ("login rejected", Reason::AuthFailed),
    ("no such user", Reason::AuthFailed),
    ("Tenant or user not found", Reason::AuthFailed),
    ("no such database", Reason::Misconfigured),
    ("unsupported startup parameter", Reason::Misconfigured),
];

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::error::Error for Reason {}

impl From<&sqlx::Error> for Reason {
    fn from(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            sqlx::Error::Io(_) => Self::Unreachable,
            sqlx::Error::PoolTimedOut => Self::Timeout,
            // What `transaction` makes of a reason.
            sqlx::Error::Configuration(error) => error.downcast_ref().copied().unwrap_or(Self::Misconfigured),
            sqlx::Error::Database(error) => {
                Self::from_sqlstate(error.code().as_deref().unwrap_or_default(), error.message())
            }
            _ => Self::Error,
        }
    }
}

impl Reason {
    fn from_sqlstate(code: &str, message: &str) -> Self {
        match code {
            "28000" | "28P01" => Self::AuthFailed,
            "53300" => Self::TooManyConnections,
            // Starting up, shutting down, crashed, idle for too long; a database that takes no connections.
            UNREACHABLE | "57P01" | "57P02" | "57P03" | "57P05" | "55000" => Self::Unreachable,
            // Cancelled by `statement_timeout` or `lock_timeout`.
            TIMEOUT | "57014" | LOCK_NOT_AVAILABLE => Self::Timeout,
            TLS => Self::TlsFailed,
            // No such database; no right to connect to it, or to read the table of migrations.
            MISCONFIGURED | "3D000" | "42501" => Self::Misconfigured,
            _ if code.starts_with("08") || code == "XX000" => {
                let known = POOLERS.iter().find(|(text, _)| message.contains(text));
                known.map_or(Self::Error, |(_, reason)| *reason)
            }
            _ => Self::Error,
        }
    }
}

/// Returns the reason of an error, and logs its cause with the request's id.
pub(super) fn logged(error: &sqlx::Error) -> Reason {
    let reason = Reason::from(error);
    tracing::error!(
        reason = reason.as_str(),
        cause = cause(error),
        "the database cannot be used"
    );
    reason
}

/// The message and the SQLSTATE, without the values of the query: the server puts them into the detail, and into the
/// message where data do not fit (class 22). Cut, because a server may send a message of any length.
pub(super) fn cause(error: &sqlx::Error) -> String {
    const MAX_CHARACTERS: usize = 1000;
    let cause = match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let is_about_data = code.starts_with("22");
            let message = if is_about_data {
                without_quoted(error.message(), '"')
            } else {
                error.message().to_owned()
            };
            format!("{message} ({code})")
        }
        error => error.to_string(),
    };
    cause.chars().take(MAX_CHARACTERS).collect()
}

/// The text with dots in place of what stands between these quotes.
pub(super) fn without_quoted(text: &str, quote: char) -> String {
    let parts = text.split(quote).enumerate();
    let parts: Vec<&str> = parts
        .map(|(index, part)| if index % 2 == 1 { "..." } else { part })
        .collect();
    parts.join(&quote.to_string())
}

/// Whether a value is one that the database cannot store, whatever the query. Unlike the violation of a constraint, this has no name by
/// which a function could answer it.
pub(super) fn is_unstorable(error: &sqlx::Error) -> bool {
    // Longer than its column; a character that no text may have, U+0000 as a rule, by itself and as an escape in JSON; longer
    // than the entry of an index may be.
    const STATES: [&str; 4] = ["22001", "22021", "22P05", "54000"];
    STATES.contains(&&*sqlstate(error))
}

/// Whether the connection has failed, rather than the query.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code.starts_with("08") || code.starts_with("57P") || code == "25P03"
        }
        _ => false,
    }
}
