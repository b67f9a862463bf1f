//! The proof that a failed file is rolled back. The server numbers the transactions of a session, in the
//! `virtualtransaction` of its locks. If there was only one transaction since the file began, all that the file did was
//! rolled back with it. A procedure or a DO block that commits, and a command that works in several transactions, such
//! as those with CONCURRENTLY, use more numbers. Source: <https://www.postgresql.org/docs/current/transaction-id.html>.

use sqlx::{PgConnection, Row};

/// The number of this session's current transaction; the next one has 1 more.
pub(super) async fn transaction_number(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let row = sqlx::raw_sql(
        "SELECT pg_catalog.split_part(virtualtransaction, '/', 2) AS number FROM pg_catalog.pg_locks
         WHERE locktype = 'virtualxid' AND pid = pg_catalog.pg_backend_pid() AND granted",
    )
    .fetch_one(connection)
    .await?;
    let number: String = row.try_get("number")?;
    number.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Whether there was exactly one transaction between the one with this number and now.
///
/// # Errors
/// The connection is lost, so that nothing is proven.
pub(super) async fn is_only_one_since(before: u32, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    Ok(transaction_number(connection).await? == before.wrapping_add(2))
}
