//! One migrator at a time: an advisory lock, and the check that `DATABASE_URL` leads to sessions that can hold it.

use super::{Database, MigrateError, in_transaction::execute, session};
use crate::{
    database::sqlstate::{LOCK_NOT_AVAILABLE, sqlstate},
    random,
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Waits for the lock by polling. A session that waited for it in the server would hold a snapshot, and the other
/// migrator's `CREATE INDEX CONCURRENTLY` would wait for that.
pub(super) async fn acquire(connection: &mut PgConnection, limit: Duration) -> Result<(), MigrateError> {
    let start = Instant::now();
    let id = lock_id(connection).await?;
    let mut waiting = false;
    while !ask(&format!("pg_try_advisory_lock({id})"), connection).await? {
        if start.elapsed() >= limit {
            return Err(MigrateError::Busy(limit));
        }
        if !waiting {
            tracing::info!("another migrator is at work; waiting for it");
            waiting = true;
        }
        sleep(Duration::from_secs_f64(0.05 + 0.1 * random::fraction())).await;
    }
    Ok(())
}

/// Waits for the lock in the server's queue, for a session that gets it from another one of the same migrator.
pub(super) async fn wait(id: i64, limit: Duration, connection: &mut PgConnection) -> Result<(), MigrateError> {
    let wait_ms = limit.as_millis().max(1);
    let sql = format!("SET lock_timeout = {wait_ms}; SELECT pg_catalog.pg_advisory_lock({id})");
    match execute(&sql, connection).await {
        Err(error) if sqlstate(&error) == LOCK_NOT_AVAILABLE => Err(MigrateError::Busy(limit)),
        waited => Ok(waited?),
    }
}

/// Whether a session holds the lock, or waits for it.
pub(super) async fn is_held_or_awaited_by(
    session: i32,
    id: i64,
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let condition = format!(
        "count(*) > 0 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = {session}
         AND (classid::bigint << 32) | objid::bigint = {id}"
    );
    ask(&condition, connection).await
}

/// Releases the lock, and what else of this kind a file has locked: the server ends the session some time after it was
/// closed, and the next file runs before. If a file has released the lock before, another migrator may have taken it since.
pub(super) async fn release(id: i64, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if !ask(&format!("pg_advisory_unlock({id})"), connection).await? {
        tracing::warn!("a file has released the lock of the migrators");
    }
    execute("SELECT pg_catalog.pg_advisory_unlock_all()", connection).await
}

/// Evaluates a condition that begins with a name of `pg_catalog`.
async fn ask(condition: &str, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT pg_catalog.{condition}");
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
    row.try_get(0)
}

/// The key of sqlx's lock, so that sqlx-cli and this migrator exclude each other.
pub(super) async fn lock_id(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let row = sqlx::raw_sql("SELECT pg_catalog.current_database()::pg_catalog.text")
        .fetch_one(connection)
        .await?;
    let database: String = row.try_get(0)?;
    Ok(0x3d32_ad9e * i64::from(CRC.checksum(database.as_bytes())))
}

/// Detects a pooler in transaction mode, which lends a session of the server for one transaction: a lock would stay in
/// a session that others use. It shows when a second connection, in a transaction, gets the session of the first, or
/// when the first one's session changes. Uses the simple protocol, because such poolers may not support prepared
/// statements.
pub(super) async fn refuse_pooler(database: &Database, connection: &mut PgConnection) -> Result<(), MigrateError> {
    let first = backend(connection).await?;
    // A pooler in session mode may have no second session, and does not say so.
    let second = session::second(database, async |mut second: PgConnection| {
        execute("BEGIN", &mut second).await?;
        Ok((backend(&mut second).await?, second))
    });
    let Some((other, _in_transaction)) = second.await? else {
        return Ok(());
    };
    if other == first || backend(connection).await? != first {
        return Err(MigrateError::Pooler);
    }
    Ok(())
}

/// The process id of the server behind this connection.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    row.try_get(0)
}
