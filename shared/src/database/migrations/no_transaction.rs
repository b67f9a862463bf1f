//! Runs a file without a transaction. The file is marked as begun first; if it fails halfway, the error says what it
//! has left.

use super::{
    MigrateError, Migrator,
    files::{Files, name},
    in_transaction::{Applier, execute, postgres_message},
    rolled_back::{is_only_one_since, transaction_number},
    table::Table,
};
use sqlx::{PgConnection, migrate::Migration};
use std::time::{Duration, Instant};

impl Applier<'_> {
    /// There is no lock timeout: a command such as `CREATE INDEX CONCURRENTLY` blocks no query while it waits for
    /// locks, and would leave an INVALID index if it gave up.
    pub async fn without_transaction(&mut self, file: &Migration, sql: &str) -> Result<(), MigrateError> {
        let start = Instant::now();
        let Migrator { limit, settings, .. } = self.migrator;
        self.session
            .prepare(Duration::ZERO, limit.cap(settings.statement_timeout))
            .await?;
        if let Some(found) = invalid_indexes(&mut self.session.connection).await? {
            return Err(MigrateError::InvalidIndex {
                file: name(file),
                found,
            });
        }
        self.mark(file).await?;
        let before = transaction_number(&mut self.session.connection).await?;
        let ran = limit
            .running(self.session.id, execute(sql, &mut self.session.connection))
            .await;
        let Err(error) = ran else {
            self.session.reset().await?;
            return self.record(file, start.elapsed()).await;
        };
        let cause = limit
            .cause()
            .map_or_else(|| postgres_message(&error, file), |cause| format!("stopped by {cause}"));
        tracing::error!(file = name(file), cause, "failed outside of a transaction");
        self.failed(file, cause, before).await
    }

    async fn record(&mut self, file: &Migration, took: Duration) -> Result<(), MigrateError> {
        let connection = &mut self.session.connection;
        let table = Table::existing(connection).await?;
        if file.migration_type.is_down_migration() {
            table.delete(file, connection).await?;
        } else {
            table.update(file, true, Some(took), connection).await?;
        }
        Ok(())
    }

    /// Takes the mark back only if all that the file did is rolled back.
    async fn failed(&mut self, file: &Migration, cause: String, before: u32) -> Result<(), MigrateError> {
        let connection = &mut self.session.connection;
        let Ok(is_rolled_back) = is_only_one_since(before, connection).await else {
            return Err(half_done(self.files, file, &cause, None));
        };
        self.session.reset().await?;
        let connection = &mut self.session.connection;
        if !is_rolled_back {
            return Err(dirty(self.files, file, Some(&cause), connection).await?);
        }
        let table = Table::existing(connection).await?;
        if file.migration_type.is_down_migration() {
            table.update(file, true, None, connection).await?;
        } else {
            table.delete(file, connection).await?;
        }
        self.migrator
            .limit
            .check(format!("{} has left nothing behind", name(file)))?;
        Err(MigrateError::Failed {
            file: name(file),
            cause,
        })
    }
}

/// The error of a dirty file: what it has left behind, and how to repair it.
pub(super) async fn dirty(
    files: &Files,
    file: &Migration,
    cause: Option<&str>,
    connection: &mut PgConnection,
) -> Result<MigrateError, sqlx::Error> {
    let indexes = invalid_indexes(connection).await?;
    let partitions = pending_detaches(connection).await?;
    let found: Vec<String> = indexes.into_iter().chain(partitions).collect();
    let found = (!found.is_empty()).then(|| found.join("; "));
    Ok(half_done(files, file, cause.unwrap_or("in an earlier run"), found))
}

fn half_done(files: &Files, file: &Migration, cause: &str, found: Option<String>) -> MigrateError {
    MigrateError::Dirty {
        file: name(file),
        version: file.version,
        before: files.before(file),
        cause: cause.to_owned(),
        found: found.unwrap_or_else(|| "Look whether its effect is there, and undo what is half done".to_owned()),
    }
}

/// A sentence with the indexes that are INVALID and that no `CREATE INDEX CONCURRENTLY` is building now. Without
/// `pg_read_all_stats` a role sees that another role's session builds an index, and the session's locks, but not which
/// index it is.
pub(super) async fn invalid_indexes(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let names = names(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND NOT EXISTS (
             SELECT FROM pg_catalog.pg_locks l
             WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
               AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
               AND (l.relation = i.indexrelid OR l.relation = i.indrelid
                    AND l.pid IN (SELECT pid FROM pg_catalog.pg_stat_progress_create_index)))
         ORDER BY 1",
        connection,
    );
    let named: Vec<String> = names
        .await?
        .iter()
        .map(|name| format!("index {name} is INVALID: DROP INDEX CONCURRENTLY {name}"))
        .collect();
    Ok((!named.is_empty()).then(|| named.join("; ")))
}

/// A sentence with the partitions that `DETACH PARTITION CONCURRENTLY` has half detached. Servers before 14 have
/// neither the command nor the column, which is read by way of `to_jsonb` therefore.
async fn pending_detaches(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let found = names(
        "SELECT pg_catalog.format('a partition is half detached: ALTER TABLE %s DETACH PARTITION %s FINALIZE',
                inhparent::pg_catalog.regclass, inhrelid::pg_catalog.regclass) AS name
         FROM pg_catalog.pg_inherits i WHERE pg_catalog.to_jsonb(i) ->> 'inhdetachpending' = 'true' ORDER BY 1",
        connection,
    );
    let found = found.await?;
    Ok((!found.is_empty()).then(|| found.join("; ")))
}

async fn names(sql: &'static str, connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await?;
    rows.iter().map(|row| sqlx::Row::try_get(row, "name")).collect()
}
