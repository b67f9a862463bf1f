//! The proof that what failed is undone: the server counts the transactions of a session, in the `virtualtransaction` of
//! its locks, and what failed in the only one since then was rolled back with it. A procedure or a DO block that commits,
//! and a command that works in several transactions, such as those with CONCURRENTLY, count as more.
//! Source: <https://www.postgresql.org/docs/current/transaction-id.html>.

use sqlx::{PgConnection, Row};

/// The number of this session's transaction: the next one's is 1 more.
pub(super) async fn transactions(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let row = sqlx::raw_sql(
        "SELECT pg_catalog.split_part(virtualtransaction, '/', 2) AS number FROM pg_catalog.pg_locks
         WHERE locktype = 'virtualxid' AND pid = pg_catalog.pg_backend_pid() AND granted",
    )
    .fetch_one(connection)
    .await?;
    let number: String = row.try_get("number")?;
    number.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Was there one transaction since that number, which is over by now?
///
/// # Errors
/// The connection is lost, so that nothing is proven.
pub(super) async fn is_only_one_since(before: u32, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    Ok(transactions(connection).await? == before.wrapping_add(2))
}
