//! One migrator at a time: a session's advisory lock, polled, and the proof that the session is one.

use super::{Database, MigrateError, Reason, in_transaction::execute};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Waits for the lock. It is tried again and again instead of waited for in the server: a session that waits for an
/// advisory lock holds a snapshot, and `CREATE INDEX CONCURRENTLY` waits for all of those.
pub(super) async fn acquire(connection: &mut PgConnection, patience: Duration) -> Result<(), MigrateError> {
    let start = Instant::now();
    let id = lock_id(connection).await?;
    let mut waiting = false;
    while !ask(&format!("pg_try_advisory_lock({id})"), connection).await? {
        if start.elapsed() >= patience {
            return Err(MigrateError::Busy(patience));
        }
        if !waiting {
            tracing::info!("another migrator is at work; waiting for it");
            waiting = true;
        }
        sleep(Duration::from_millis(fastrand::u64(50..150))).await;
    }
    Ok(())
}

/// Waits for the lock in the server's queue: for a session that is about to get it.
pub(super) async fn wait(id: i64, patience: Duration, connection: &mut PgConnection) -> Result<(), MigrateError> {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let patience_ms = patience.as_millis().max(1);
    let wait = format!("SET lock_timeout = {patience_ms}; SELECT pg_catalog.pg_advisory_lock({id})");
    match execute(&wait, connection).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => {
            Err(MigrateError::Busy(patience))
        }
        waited => Ok(waited?),
    }
}

/// Does a session hold the lock, or wait for it?
pub(super) async fn is_asked_for_by(session: i32, id: i64, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let condition = format!(
        "count(*) > 0 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = {session}
         AND (classid::bigint << 32) | objid::bigint = {id}"
    );
    ask(&condition, connection).await
}

/// Lets go of the lock. A file may have done so before, which another migrator may have seen.
pub(super) async fn release(id: i64, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if !ask(&format!("pg_advisory_unlock({id})"), connection).await? {
        tracing::warn!("a file has released the lock of the migrators");
    }
    Ok(())
}

/// A condition of the catalog.
async fn ask(condition: &str, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT pg_catalog.{condition}");
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
    row.try_get(0)
}

/// The lock of sqlx, so that its command line and this one exclude each other.
pub(super) async fn lock_id(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let row = sqlx::raw_sql("SELECT pg_catalog.current_database()::pg_catalog.text")
        .fetch_one(connection)
        .await?;
    let database: String = row.try_get(0)?;
    Ok(0x3d32_ad9e * i64::from(CRC.checksum(database.as_bytes())))
}

/// A pooler in transaction mode lends a server's session for one transaction, and a lock taken in it stays behind. It
/// shows when a second connection, in a transaction, is lent the session that the first believes to be its own, or when
/// that session changes. In the simple protocol, because such poolers may not know prepared statements.
pub(super) async fn refuse_pooler(database: &Database, connection: &mut PgConnection) -> Result<(), MigrateError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let own = backend(connection).await?;
    let other = async {
        let mut second = database.connect().await?;
        sqlx::raw_sql("BEGIN").execute(&mut second).await?;
        let lent = backend(&mut second).await?;
        Ok::<_, MigrateError>((lent, second))
    };
    // A pooler in session mode may have no second session to give.
    let Ok(other) = timeout(PATIENCE, other).await else {
        return Ok(());
    };
    let (lent, _in_transaction) = match other {
        // Nor has a server a second one for a role that may have one; a pooler would not say so.
        Err(MigrateError::Database(Reason::TooManyConnections)) => return Ok(()),
        other => other?,
    };
    if lent == own || backend(connection).await? != own {
        return Err(MigrateError::Pooler);
    }
    Ok(())
}

/// The process of the server that serves this session.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    row.try_get(0)
}
