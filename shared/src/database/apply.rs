//! One file at a time: in a transaction with its record, or outside of one with a mark that says it has begun.

use super::{
    Refusal,
    schema::{Files, name},
};
use crate::config;
use sqlx::{
    Connection, Executor, PgConnection,
    migrate::Migration,
    postgres::{PgDatabaseError, PgErrorPosition},
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often a file is tried that does not get the locks it needs.
const ATTEMPTS: u32 = 10;

/// Runs files on a connection that holds the lock.
pub(super) struct Applier<'a> {
    pub connection: &'a mut PgConnection,
    pub files: &'a Files,
    pub settings: config::Migrate,
}

impl Applier<'_> {
    /// Runs one file, up or down, and records it.
    pub async fn run(&mut self, file: &Migration) -> Result<(), Refusal> {
        let start = Instant::now();
        tracing::info!(file = name(file), "running");
        if file.no_tx {
            self.outside(file).await?;
        } else {
            self.inside(file).await?;
        }
        tracing::info!(
            file = name(file),
            duration_ms = start.elapsed().as_millis() as u64,
            "done"
        );
        Ok(())
    }

    /// Another session's lock must not make this file a queue that every query stands in: it gives up, and comes back.
    async fn inside(&mut self, file: &Migration) -> Result<(), Refusal> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(file).await? {
                Ok(()) => return Ok(()),
                Err(error) if !is_contention(&error) => {
                    return Err(Refusal::Failed {
                        file: name(file),
                        cause: said(&error, file),
                    });
                }
                Err(error) if attempts == ATTEMPTS => {
                    return Err(Refusal::Locked {
                        file: name(file),
                        attempts,
                        cause: said(&error, file),
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        file = name(file),
                        attempts,
                        cause = said(&error, file),
                        "rolled back; trying again"
                    );
                    // As long a pause for the others as the wait was for them.
                    sleep(self.settings.lock_timeout.mul_f64(0.5 + fastrand::f64())).await;
                }
            }
        }
    }

    /// The outer result is a refusal for good, the inner one what Postgres said of the file, which is rolled back.
    async fn attempt(&mut self, file: &Migration) -> Result<Result<(), sqlx::Error>, Refusal> {
        let start = Instant::now();
        let mut transaction = self.connection.begin().await?;
        // The mark is gone where the file ends the transaction. A client that dies takes its statement with it.
        let prepared = sqlx::query(
            "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true),
                    set_config('pilotlight.version', $3, true),
                    (SELECT set_config(name, '1s', true) FROM pg_settings WHERE name = 'client_connection_check_interval')",
        )
        .bind(milliseconds(self.settings.lock_timeout))
        .bind(milliseconds(self.settings.statement_timeout))
        .bind(file.version.to_string());
        prepared.execute(&mut *transaction).await?;
        if let Err(error) = transaction.execute(file.sql.clone()).await {
            transaction.rollback().await?;
            return Ok(Err(error));
        }
        let recorded = if file.migration_type.is_down_migration() {
            sqlx::query(
                "DELETE FROM _sqlx_migrations
                 WHERE version = $1 AND current_setting('pilotlight.version', true) = $1::text",
            )
            .bind(file.version)
            .execute(&mut *transaction)
            .await?
        } else {
            sqlx::query(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT $1, $2, true, $3, $4 WHERE current_setting('pilotlight.version', true) = $1::text",
            )
            .bind(file.version)
            .bind(&*file.description)
            .bind(&*file.checksum)
            .bind(start.elapsed().as_nanos() as i64)
            .execute(&mut *transaction)
            .await?
        };
        if recorded.rows_affected() != 1 {
            drop(transaction);
            self.mark(file).await?;
            return Err(Refusal::EndsItsTransaction {
                file: name(file),
                before: self.before(file),
            });
        }
        // A failure of the commit may come after the fact: it is not the file's, and the next run sees what is true.
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// The version before a file's, 0 for none.
    pub fn before(&self, file: &Migration) -> i64 {
        let older = self.files.ups().rfind(|other| other.version < file.version);
        older.map_or(0, |file| file.version)
    }
}

/// Locks not granted in time, deadlocks, serialization: rolled back whole, and worth another attempt.
fn is_contention(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01" | "40001"))
}

/// What Postgres said of a file, and of which line of it.
pub(super) fn said(error: &sqlx::Error, file: &Migration) -> String {
    let Some(said) = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
    else {
        return error.to_string();
    };
    let line = match said.position() {
        Some(PgErrorPosition::Original(position)) => {
            let before = file.sql.as_str().chars().take(position);
            format!("line {}: ", 1 + before.filter(|c| *c == '\n').count())
        }
        _ => String::new(),
    };
    let detail = said.detail().map(|detail| format!(", {detail}")).unwrap_or_default();
    format!("{line}{}{detail} ({})", said.message(), said.code())
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
