//! The `statement_timeout` of a request. It is a part of the request, because a pooler in transaction mode may send the
//! next one to another session.

use super::messages::{HEADER, message};
use std::time::Duration;

/// A command of sqlx to this process, which the server never gets: when requests have to end, in milliseconds from now.
const COMMAND: &str = "requests end in ms: ";
/// Bytes of the longest message with a command.
pub(super) const LONGEST_COMMAND: usize = 64;

/// The command that sets the time of a session's requests, until the pool lends the session again.
pub(in crate::database) fn time_of_requests(timeout: Duration) -> String {
    format!("{COMMAND}{}", timeout.as_millis().min(i32::MAX as u128))
}

/// The timeout in a Query message, if it is a command.
pub(super) fn command(query: &[u8], length: usize) -> Option<Duration> {
    let body = query.get(HEADER..length)?.strip_suffix(b"\0")?;
    let milliseconds = std::str::from_utf8(body).ok()?.strip_prefix(COMMAND)?;
    Some(Duration::from_millis(milliseconds.parse().ok()?))
}

/// The messages that set the timeout until the end of the request: without a Sync message, they and what follows are one
/// transaction. A function, because `SET LOCAL` warns outside of `BEGIN`.
pub(super) fn set(timeout: Duration) -> Vec<u8> {
    // 0 would mean none.
    let milliseconds = timeout.as_millis().max(1);
    let sql = format!("SELECT pg_catalog.set_config('statement_timeout', '{milliseconds}', true)");
    let (parse, bind, execute) = (
        message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]),
        message(b'B', &[&[0; 8]]),
        message(b'E', &[&[0; 5]]),
    );
    [parse, bind, execute].concat()
}
/// How many messages the server answers to those: ParseComplete, BindComplete, DataRow, CommandComplete.
pub(super) const ANSWERS_TO_SET: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_was_written_and_nothing_else_is_one() {
        let query = |sql: &str| message(b'Q', &[sql.as_bytes(), b"\0"]);
        let longest = query(&time_of_requests(Duration::MAX));
        assert!(longest.len() <= LONGEST_COMMAND);
        assert_eq!(
            command(&longest, longest.len()),
            Some(Duration::from_millis(i32::MAX as u64))
        );
        for sql in ["SELECT 1", COMMAND, "", "SET LOCAL statement_timeout = 1"] {
            let query = query(sql);
            assert_eq!(command(&query, query.len()), None, "{sql}");
        }
    }
}
