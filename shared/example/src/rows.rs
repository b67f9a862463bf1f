//! The queries of this function.
//!
//! Each is checked against `migrations/` when it is compiled, with what `cargo run -p queries` has written to `.sqlx`: run that
//! after a change. `cargo run -- migration NAME` begins a migration, for a table of this function.

use shared::database::Transaction;

/// The seconds since the epoch, by the clock of the database.
///
/// # Errors
/// Of the query. It has been logged.
pub async fn time(transaction: &mut Transaction) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT extract(epoch FROM now())::bigint AS "time!""#)
        .fetch_one(transaction)
        .await
}
