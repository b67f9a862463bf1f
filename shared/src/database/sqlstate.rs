//! The codes that Postgres gives its errors (Appendix A of its manual).

use std::borrow::Cow;

/// The server has become a standby, or has been told to change nothing.
pub const READ_ONLY: &str = "25006";
pub const SERIALIZATION_FAILURE: &str = "40001";
pub const DEADLOCK: &str = "40P01";
/// `lock_timeout` has passed.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The code of an error of the server; empty for any other.
pub fn sqlstate(error: &sqlx::Error) -> Cow<'_, str> {
    let code = error.as_database_error().and_then(|error| error.code());
    code.unwrap_or_default()
}
