//! The session that holds the lock and runs a file. Each file has a session that no other file has used, so that what a
//! file sets, prepares or locks ends with it.

use super::{Database, MigrateError, Reason, in_transaction::execute, lock};
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a server or a pooler may take to open a second session.
const SECOND_SESSION: Duration = Duration::from_secs(5);

/// A session of a migrator.
pub(super) struct Session {
    pub connection: PgConnection,
    /// The process id of the server.
    pub id: i32,
    /// Sets the timeouts of the file: for locks, and for statements.
    timeouts: String,
    /// Whether a file has run in it.
    is_used: bool,
    /// Whether the role, the server or the pooler allows no second session.
    is_only: bool,
}

impl Session {
    /// The connection must not lead to a pooler in transaction mode, which would pass these settings on to other
    /// clients.
    pub async fn new(mut connection: PgConnection) -> Result<Self, MigrateError> {
        Ok(Self {
            id: settle(&mut connection).await?,
            connection,
            timeouts: String::new(),
            is_used: false,
            is_only: false,
        })
    }

    /// Replaces the session by one that no file has used. A migrator that waits in the server's queue, as sqlx-cli
    /// does, may have its turn in between; `limit` is how long to wait for it.
    pub async fn renew(&mut self, database: &Database, limit: Duration) -> Result<(), MigrateError> {
        if !self.is_used {
            return Ok(());
        }
        self.reset().await?;
        if !self.is_only {
            match second(database, Self::new).await? {
                Some(next) => return self.hand_over(next, limit).await,
                None => self.is_only = true,
            }
        }
        self.discard().await
    }

    /// Prepares the session for a file with these timeouts.
    pub async fn prepare(&mut self, lock_timeout: Duration, statement_timeout: Duration) -> Result<(), MigrateError> {
        self.is_used = true;
        self.timeouts = format!(
            "SET lock_timeout = {}; SET statement_timeout = {}",
            lock_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        let settings = format!("SET standard_conforming_strings = on; {}", self.timeouts);
        Ok(execute(&settings, &mut self.connection).await?)
    }

    /// Passes the lock on: the next session is in the queue before this one releases the lock.
    async fn hand_over(&mut self, mut next: Self, limit: Duration) -> Result<(), MigrateError> {
        let id = lock::lock_id(&mut self.connection).await?;
        let release = async {
            while !lock::is_held_or_awaited_by(next.id, id, &mut self.connection).await? {
                sleep(Duration::from_millis(1)).await;
            }
            Ok(lock::release(id, &mut self.connection).await?)
        };
        futures_util::try_join!(lock::wait(id, limit, &mut next.connection), release)?;
        let last = std::mem::replace(self, next);
        let _ = last.connection.close().await;
        Ok(())
    }

    /// Cleans the session where no second one is allowed: `DISCARD ALL` without releasing the lock.
    async fn discard(&mut self) -> Result<(), MigrateError> {
        const ALL: &str = "CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP";
        execute(ALL, &mut self.connection).await?;
        settle(&mut self.connection).await?;
        self.is_used = false;
        Ok(())
    }

    /// Resets what a file has set, for the statements of the migrator. Keeps the timeouts of the file, whose
    /// transaction holds locks. Works in any transaction.
    pub async fn reset(&mut self) -> Result<(), sqlx::Error> {
        let reset = format!("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {}", self.timeouts);
        execute(&reset, &mut self.connection).await
    }
}

/// Configures a new session: the server notices within a second that this process is gone, and does not end the session
/// for being idle. Returns the process id of the server.
async fn settle(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql(
        "SELECT pg_catalog.pg_backend_pid() AS id, (SELECT pg_catalog.count(pg_catalog.set_config(name, value, false))
            FROM pg_catalog.pg_settings JOIN (VALUES ('client_connection_check_interval', '1s'),
                ('idle_session_timeout', '0'), ('lock_timeout', '10s')) wanted (name, value) USING (name))",
    )
    .fetch_one(connection)
    .await?;
    row.try_get("id")
}

/// Opens a second connection and runs `begin` with it. `None` if the role, the server or the pooler allows no second
/// session: a server and some poolers say so, others let the client wait.
pub(super) async fn second<T>(
    database: &Database,
    begin: impl AsyncFnOnce(PgConnection) -> Result<T, MigrateError>,
) -> Result<Option<T>, MigrateError> {
    let open = async { begin(database.connect().await?).await };
    match timeout(SECOND_SESSION, open).await {
        Err(_) | Ok(Err(MigrateError::Database(Reason::TooManyConnections))) => Ok(None),
        Ok(opened) => opened.map(Some),
    }
}
