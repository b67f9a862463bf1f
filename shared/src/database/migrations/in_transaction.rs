//! Runs a file in one transaction with its record: both are committed, or neither is.

use super::{
    MigrateError, Migrator,
    files::{Files, name, sql},
    rolled_back::{is_only_one_since, transaction_number},
    session::Session,
    table::Table,
};
use crate::{
    database::sqlstate::{DEADLOCK, LOCK_NOT_AVAILABLE, SERIALIZATION_FAILURE, sqlstate},
    random,
};
use sqlx::{
    AssertSqlSafe, PgConnection,
    migrate::Migration,
    postgres::{PgDatabaseError, PgErrorPosition},
};
use std::time::Instant;
use tokio::time::sleep;

/// How many attempts a file has to get the locks it needs.
const ATTEMPTS: u32 = 10;

/// Runs files in the session that holds the migrators' lock.
pub(super) struct Applier<'a> {
    pub migrator: &'a Migrator,
    pub files: &'a Files,
    pub session: Session,
}

impl Applier<'_> {
    /// Runs one file, up or down, and records it.
    pub async fn run(&mut self, file: &Migration) -> Result<(), MigrateError> {
        self.migrator
            .limit
            .check(format!("{} has not begun, nor has any file after it", name(file)))?;
        let start = Instant::now();
        tracing::info!(file = name(file), "running");
        let sql = sql(file)?;
        if file.no_tx {
            self.without_transaction(file, &sql).await?;
        } else {
            self.in_transaction(file, &sql).await?;
        }
        tracing::info!(
            file = name(file),
            duration_ms = start.elapsed().as_millis() as u64,
            "done"
        );
        Ok(())
    }

    /// Replaces the session, for the next file or attempt.
    pub async fn renew(&mut self) -> Result<(), MigrateError> {
        let Migrator {
            database,
            limit,
            settings,
            ..
        } = self.migrator;
        limit.during(self.session.renew(database, settings.wait)).await?
    }

    /// While a file waits for a table's lock, every later query of the table waits behind it. Therefore a file gives up
    /// after `lock_timeout`, and is tried again later.
    async fn in_transaction(&mut self, file: &Migration, sql: &str) -> Result<(), MigrateError> {
        let Migrator { limit, settings, .. } = self.migrator;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(error) = self.attempt(file, sql).await? else {
                return Ok(());
            };
            limit.check(format!("{} was rolled back whole", name(file)))?;
            let cause = postgres_message(&error, file);
            if !is_contention(&error) {
                return Err(MigrateError::Failed {
                    file: name(file),
                    cause,
                });
            }
            if attempts == ATTEMPTS {
                return Err(MigrateError::Locked {
                    file: name(file),
                    attempts,
                    cause,
                });
            }
            tracing::warn!(file = name(file), attempts, cause, "rolled back; trying again");
            // The others have about as long to work as the file has waited for them.
            limit
                .during(sleep(settings.lock_timeout.mul_f64(0.5 + random::fraction())))
                .await?;
        }
    }

    /// The outer error ends the run. The inner one is Postgres's error of a file that is proven to be rolled back.
    async fn attempt(&mut self, file: &Migration, sql: &str) -> Result<Result<(), sqlx::Error>, MigrateError> {
        let Migrator { limit, settings, .. } = self.migrator;
        self.renew().await?;
        self.session
            .prepare(limit.cap(settings.lock_timeout), limit.cap(settings.statement_timeout))
            .await?;
        let before = transaction_number(&mut self.session.connection).await?;
        let ran = limit.running(self.session.id, commit(&mut self.session, file, sql, before));
        let Err((error, is_over)) = ran.await else {
            return Ok(Ok(()));
        };
        if !is_over && execute("ROLLBACK", &mut self.session.connection).await.is_err() {
            return Err(lost(file, &error));
        }
        match is_only_one_since(before, &mut self.session.connection).await {
            Ok(true) => Ok(Err(error)),
            Ok(false) => Err(self.ended_its_transaction(file).await?),
            Err(_) => Err(lost(file, &error)),
        }
    }

    /// Marks a file as dirty that has ended its transaction in a way that its text does not show, such as by a
    /// procedure.
    async fn ended_its_transaction(&mut self, file: &Migration) -> Result<MigrateError, MigrateError> {
        self.session.reset().await?;
        self.mark(file).await?;
        Ok(MigrateError::EndsItsTransaction {
            file: name(file),
            before: self.files.before(file),
        })
    }

    /// Records that a file has begun. It is dirty until it is recorded as done.
    pub async fn mark(&mut self, file: &Migration) -> Result<(), MigrateError> {
        let connection = &mut self.session.connection;
        let table = Table::existing(connection).await?;
        if file.migration_type.is_down_migration() {
            table.update(file, false, None, connection).await?;
        } else {
            table.insert(file, None, connection).await?;
        }
        Ok(())
    }
}

fn lost(file: &Migration, error: &sqlx::Error) -> MigrateError {
    MigrateError::Lost {
        file: name(file),
        cause: postgres_message(error, file),
    }
}

/// Runs the file and commits. The error comes with `true` if the transaction is over already, as it is after a `COMMIT`
/// that failed.
async fn commit(session: &mut Session, file: &Migration, sql: &str, before: u32) -> Result<(), (sqlx::Error, bool)> {
    let ran = run_and_record(session, file, sql, before).await;
    ran.map_err(|error| (error, false))?;
    let committed = execute("COMMIT", &mut session.connection).await;
    committed.map_err(|error| (error, true))
}

/// Resets what the file has set before its record is written. Looks the table up after the file, which may have moved
/// it.
async fn run_and_record(session: &mut Session, file: &Migration, sql: &str, before: u32) -> Result<(), sqlx::Error> {
    let start = Instant::now();
    execute("BEGIN", &mut session.connection).await?;
    execute(sql, &mut session.connection).await?;
    session.reset().await?;
    let connection = &mut session.connection;
    if transaction_number(connection).await? != before.wrapping_add(1) {
        return Err(sqlx::Error::Protocol(
            "the transaction is not the one it was".to_owned(),
        ));
    }
    let table = Table::existing(connection).await?;
    if file.migration_type.is_down_migration() {
        table.delete(file, connection).await?;
    } else {
        table.insert(file, Some(start.elapsed()), connection).await?;
    }
    Ok(())
}

/// Runs SQL in the simple protocol, which takes any number of statements.
pub(super) async fn execute(sql: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

/// Lock timeouts, deadlocks, serialization failures: Postgres has rolled the file back, and another attempt may
/// succeed.
fn is_contention(error: &sqlx::Error) -> bool {
    matches!(&*sqlstate(error), LOCK_NOT_AVAILABLE | DEADLOCK | SERIALIZATION_FAILURE)
}

/// The message of Postgres about a file, with the line if Postgres names a position.
pub(super) fn postgres_message(error: &sqlx::Error, file: &Migration) -> String {
    let Some(postgres) = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
    else {
        return match error {
            sqlx::Error::Configuration(cause) => cause.to_string(),
            error => error.to_string(),
        };
    };
    let line = match postgres.position() {
        Some(PgErrorPosition::Original(position)) => {
            let before = file.sql.as_str().chars().take(position);
            format!("line {}: ", 1 + before.filter(|c| *c == '\n').count())
        }
        _ => String::new(),
    };
    let detail = postgres
        .detail()
        .map(|detail| format!(", {detail}"))
        .unwrap_or_default();
    format!("{line}{}{detail} ({})", postgres.message(), postgres.code())
}
