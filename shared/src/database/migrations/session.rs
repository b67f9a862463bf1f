//! The session that holds the lock and runs a file. Each file has one that no other file has touched: whatever a file
//! sets, prepares or locks ends with it.

use super::{Database, MigrateError, Reason, in_transaction::execute, lock};
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a pooler or a role with few connections may take to give another session.
const PATIENCE: Duration = Duration::from_secs(5);

/// A session of a migrator.
pub(super) struct Session {
    pub connection: PgConnection,
    /// The server's process.
    pub id: i32,
    /// The statement that sets how long a file may wait for locks and run statements.
    bounds: String,
    /// Has a file run in it?
    is_used: bool,
    /// Is there no second one to be had?
    is_only: bool,
}

impl Session {
    /// Takes a connection that is known to be a session: a pooler would hand its settings on to others.
    pub async fn new(mut connection: PgConnection) -> Result<Self, MigrateError> {
        Ok(Self {
            id: settle(&mut connection).await?,
            connection,
            bounds: String::new(),
            is_used: false,
            is_only: false,
        })
    }

    /// Makes it one that no file has touched. A migrator that waits in the queue of the server, as sqlx's own does, may
    /// have its turn in between, within `patience`.
    pub async fn renew(&mut self, database: &Database, patience: Duration) -> Result<(), MigrateError> {
        if !self.is_used {
            return Ok(());
        }
        self.reset().await?;
        if !self.is_only {
            match second(database).await? {
                Some(next) => return self.hand_over(next, patience).await,
                None => self.is_only = true,
            }
        }
        self.discard().await
    }

    /// Readies it for a file, which may wait for locks and run statements as long as given.
    pub async fn prepare(&mut self, lock_timeout: Duration, statement_timeout: Duration) -> Result<(), MigrateError> {
        self.is_used = true;
        self.bounds = format!(
            "SET lock_timeout = {}; SET statement_timeout = {}",
            lock_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        let settings = format!("SET standard_conforming_strings = on; {}", self.bounds);
        Ok(execute(&settings, &mut self.connection).await?)
    }

    /// Hands the lock over: the next session stands in its queue before this one lets go.
    async fn hand_over(&mut self, mut next: Self, patience: Duration) -> Result<(), MigrateError> {
        let id = lock::lock_id(&mut self.connection).await?;
        let release = async {
            while !lock::is_asked_for_by(next.id, id, &mut self.connection).await? {
                sleep(Duration::from_millis(1)).await;
            }
            Ok(lock::release(id, &mut self.connection).await?)
        };
        futures_util::try_join!(lock::wait(id, patience, &mut next.connection), release)?;
        let last = std::mem::replace(self, next);
        let _ = last.connection.close().await;
        Ok(())
    }

    /// Where no other session is to be had: `DISCARD ALL`, but for the lock.
    async fn discard(&mut self) -> Result<(), MigrateError> {
        const ALL: &str = "CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP";
        execute(ALL, &mut self.connection).await?;
        settle(&mut self.connection).await?;
        self.is_used = false;
        Ok(())
    }

    /// Takes back what a file has set, for the statements of the migrator, which wait no longer than the file: its
    /// transaction holds locks. Works in any transaction.
    pub async fn reset(&mut self) -> Result<(), sqlx::Error> {
        let reset = format!("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {}", self.bounds);
        execute(&reset, &mut self.connection).await
    }
}

/// Settings of a new session: the server notices within a second when this process is gone, and does not end a session
/// that waits. Returns the server's process.
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

/// Another session, unless a role, a server or a pooler has none to give.
async fn second(database: &Database) -> Result<Option<Session>, MigrateError> {
    let open = async { Session::new(database.connect().await?).await };
    match timeout(PATIENCE, open).await {
        Err(_) | Ok(Err(MigrateError::Database(Reason::TooManyConnections))) => Ok(None),
        Ok(opened) => opened.map(Some),
    }
}
