//! One migrator at a time: a session's advisory lock, polled, and the proof that the session is one.

use super::{Database, Reason, Refusal};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Waits for the lock. It is tried again and again instead of waited for in the server: a session that waits for an
/// advisory lock holds a snapshot, and `CREATE INDEX CONCURRENTLY` waits for all of those.
pub(super) async fn acquire(connection: &mut PgConnection, patience: Duration) -> Result<(), Refusal> {
    let start = Instant::now();
    let id = lock_id(connection).await?;
    let mut waiting = false;
    loop {
        let taken = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(id);
        if taken.fetch_one(&mut *connection).await? {
            return Ok(());
        }
        if start.elapsed() >= patience {
            return Err(Refusal::Busy(patience));
        }
        if !waiting {
            tracing::info!("another migrator is at work; waiting for it");
            waiting = true;
        }
        sleep(Duration::from_millis(fastrand::u64(50..150))).await;
    }
}

/// Is another session a migrator at work?
pub(super) async fn is_held_by_another(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let id = lock_id(connection).await?;
    let held = format!(
        "SELECT EXISTS (
             SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND (classid::bigint << 32) | objid::bigint = {id})"
    );
    let row = sqlx::raw_sql(AssertSqlSafe(held)).fetch_one(connection).await?;
    row.try_get(0)
}

/// The lock of sqlx, so that its command line and ours exclude each other.
async fn lock_id(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let row = sqlx::raw_sql("SELECT current_database()::text")
        .fetch_one(connection)
        .await?;
    let database: String = row.try_get(0)?;
    Ok(0x3d32_ad9e * i64::from(CRC.checksum(database.as_bytes())))
}

/// A pooler in transaction mode lends a server's session for one transaction, and a lock taken in it stays behind. It
/// shows when a second connection, in a transaction, is lent the session that the first believes to be its own, or when
/// that session changes. In the simple protocol, because such poolers may not know prepared statements.
pub(super) async fn refuse_pooler(database: &Database, connection: &mut PgConnection) -> Result<(), Refusal> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let own = backend(connection).await?;
    let other = async {
        let mut second = database.connect().await?;
        sqlx::raw_sql("BEGIN").execute(&mut second).await?;
        let lent = backend(&mut second).await?;
        Ok::<_, Refusal>((lent, second))
    };
    // A pooler in session mode may have no second session to give.
    let Ok(other) = timeout(PATIENCE, other).await else {
        return Ok(());
    };
    let (lent, _in_transaction) = match other {
        // Nor has a server a second one for a role that may have one; a pooler would not say so.
        Err(Refusal::Database(Reason::TooManyConnections)) => return Ok(()),
        other => other?,
    };
    if lent == own || backend(connection).await? != own {
        return Err(Refusal::Pooler);
    }
    Ok(())
}

/// The process of the server that serves this session.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    row.try_get(0)
}
