//! What the failure of a query means for its transaction. Each is logged here, once, whatever the function makes of it.

use crate::database::{
    reason::{cause, is_lost, is_unstorable, without_quoted},
    sqlstate::{DEADLOCK, SERIALIZATION_FAILURE, sqlstate},
};
use sqlx::postgres::PgDatabaseError;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// Another transaction was in the way. A repetition may succeed.
    Conflict,
    /// The session has ended, and the transaction with it.
    Lost,
    /// A repetition would fail in the same way.
    Other,
}

impl Failure {
    /// Keeps and logs why a query has failed.
    pub fn record<T>(failure: &mut Option<Self>, answer: &sqlx::Result<T>, sql: &sqlx::SqlStr) {
        let Err(error) = answer else {
            *failure = None;
            return;
        };
        // A query after one that failed: the first one matters.
        if failure.is_some() && sqlstate(error) == IN_FAILED_TRANSACTION {
            return;
        }
        let found = Self::of(error);
        log(error, found, sql.as_str());
        *failure = Some(found);
    }

    fn of(error: &sqlx::Error) -> Self {
        match &*sqlstate(error) {
            SERIALIZATION_FAILURE | DEADLOCK => Self::Conflict,
            // The proxy uses no names in this session from now on.
            NO_SUCH_STATEMENT => Self::Lost,
            NOT_SUPPORTED if raised_by(error) == Some(PLAN_CACHE) => Self::Lost,
            _ if is_lost(error) => Self::Lost,
            _ => Self::Other,
        }
    }
}

const IN_FAILED_TRANSACTION: &str = "25P02";
/// A prepared statement is gone, or would answer with other columns than when it was prepared.
const NO_SUCH_STATEMENT: &str = "26000";
const NOT_SUPPORTED: &str = "0A000";
const PLAN_CACHE: &str = "RevalidateCachedQuery";

/// A constraint is there to be violated, a conflict to be repeated, and a client may send any text: none of these is an error
/// of the function.
fn log(error: &sqlx::Error, failure: Failure, sql: &str) {
    const MAX_CHARACTERS: usize = 200;
    // SQL that a function has put together may have values in it.
    let sql: String = without_quoted(sql, '\'').chars().take(MAX_CHARACTERS).collect();
    let cause = cause(error);
    if failure == Failure::Conflict || constraint(error).is_some() || is_unstorable(error) {
        tracing::info!(cause, sql, "a query was refused");
    } else {
        tracing::error!(cause, sql, "a query failed");
    }
}

/// Turns the violation of a constraint into an error of the function, and leaves all other errors as they are:
/// `.map_err(violation("accounts_name_key", Refused::NameTaken))`.
pub fn violation<E: From<sqlx::Error>>(constraint: &str, instead: E) -> impl FnOnce(sqlx::Error) -> E {
    move |error| match self::constraint(&error) {
        Some(violated) if violated == constraint => instead,
        _ => error.into(),
    }
}

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

/// The function of the server that has raised the error. Unlike the message, it is not translated.
fn raised_by(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.downcast_ref::<PgDatabaseError>().routine()
}
