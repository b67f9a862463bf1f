//! What the proxy puts before a request, in the same message to the server: the `statement_timeout` of a single statement,
//! or the beginning of a transaction. Neither costs a round trip, and a pooler in transaction mode, which may send the next
//! request to another session, cannot separate them from it.

use super::messages::put;
use bytes::BytesMut;
use tokio::time::Instant;

/// What requests begin with.
#[derive(Clone, Copy, Default)]
pub(in crate::database) enum Prefix {
    #[default]
    None,
    /// The time at which the server ends this request and each one after it.
    Timeout(Instant),
    /// The `BEGIN` of a transaction, before the next request only, with the times at which the server ends its statements,
    /// and the transaction if nothing happens in it.
    Begin { statement: Instant, idle: Instant },
}

/// The name of the statement that sets the timeout: the same for every session.
const NAME: &[u8] = b"pilotlight_timeout\0";
/// A function, because `SET LOCAL` warns outside of `BEGIN`. Without a Sync message, it and what follows are one transaction.
const SET: &[u8] = b"SELECT pg_catalog.set_config('statement_timeout', $1, true)\0";
const NO_NAME: &[u8] = b"\0";

impl Prefix {
    /// The prefix as SQL, for a request of the simple protocol, and how many messages the server answers to it.
    pub fn sql(self) -> (String, usize) {
        match self {
            Self::None => (String::new(), 0),
            Self::Timeout(end) => (format!("{}; ", local("statement_timeout", end)), 1),
            Self::Begin { statement, idle } => (begin(statement, idle).map(|sql| sql + "; ").concat(), 3),
        }
    }

    /// Writes the prefix as messages, and returns how many the server answers to them. `is_named` is there where statements have
    /// names in the server, and says whether it has this one.
    pub fn write(self, is_named: Option<&mut bool>, output: &mut BytesMut) -> usize {
        match self {
            Self::None => 0,
            Self::Timeout(end) => set(end, is_named, output),
            Self::Begin { statement, idle } => {
                for sql in begin(statement, idle) {
                    parse(NO_NAME, &[sql.as_bytes(), b"\0"].concat(), output);
                    execute(NO_NAME, &[0, 0], output);
                }
                // ParseComplete, BindComplete, CommandComplete.
                3 * 3
            }
        }
    }
}

fn begin(statement: Instant, idle: Instant) -> [String; 3] {
    [
        "BEGIN".to_owned(),
        local("statement_timeout", statement),
        local("idle_in_transaction_session_timeout", idle),
    ]
}

fn local(name: &str, end: Instant) -> String {
    format!("SET LOCAL {name} = {}", milliseconds(end))
}

/// The time until then. 0 would mean that there is no limit.
pub(super) fn milliseconds(end: Instant) -> u128 {
    end.saturating_duration_since(Instant::now()).as_millis().max(1)
}

fn set(end: Instant, is_named: Option<&mut bool>, output: &mut BytesMut) -> usize {
    let timeout = milliseconds(end).to_string();
    let length = (timeout.len() as u32).to_be_bytes();
    let parameters = [&[0, 1], &length[..], timeout.as_bytes()].concat();
    let (name, is_new) = match is_named {
        Some(is_named) => (NAME, !std::mem::replace(is_named, true)),
        None => (NO_NAME, true),
    };
    if is_new {
        parse(name, SET, output);
    }
    execute(name, &parameters, output);
    // BindComplete, DataRow and CommandComplete, after a ParseComplete.
    3 + usize::from(is_new)
}

/// A Parse message that leaves the types of its parameters to the server.
fn parse(name: &[u8], sql: &[u8], output: &mut BytesMut) {
    put(b'P', &[name, sql, &[0, 0]], output);
}

/// A Bind message with these parameters, as text, and an Execute message.
fn execute(name: &[u8], parameters: &[u8], output: &mut BytesMut) {
    put(b'B', &[NO_NAME, name, &[0, 0], parameters, &[0, 0]], output);
    put(b'E', &[&[0; 5]], output);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::proxy::messages::length;
    use std::time::Duration;

    fn kinds(messages: &[u8]) -> String {
        let (mut kinds, mut rest) = (String::new(), messages);
        while !rest.is_empty() {
            kinds.push(rest[0] as char);
            rest = &rest[length(rest)..];
        }
        kinds
    }

    #[test]
    fn a_timeout_is_parsed_each_time_unless_the_server_has_it_by_name() {
        let prefix = Prefix::Timeout(Instant::now() + Duration::from_secs(1));
        let mut is_named = false;
        for (named, expected) in [(false, "PBE"), (true, "PBE"), (true, "BE"), (false, "PBE")] {
            let mut output = BytesMut::new();
            let answers = prefix.write(named.then_some(&mut is_named), &mut output);
            assert_eq!(kinds(&output), expected);
            // Each message is answered by one, and Execute by a DataRow, too.
            assert_eq!(answers, expected.len() + 1);
        }
    }

    #[test]
    fn a_transaction_begins_with_its_bounds_in_either_protocol() {
        let end = Instant::now();
        let prefix = Prefix::Begin {
            statement: end,
            idle: end,
        };
        let bounds = "SET LOCAL statement_timeout = 1; SET LOCAL idle_in_transaction_session_timeout = 1; ";
        assert_eq!(prefix.sql(), (format!("BEGIN; {bounds}"), 3));
        let mut output = BytesMut::new();
        assert_eq!(prefix.write(None, &mut output), 9);
        assert_eq!(kinds(&output), "PBEPBEPBE");
    }
}
