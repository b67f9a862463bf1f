//! `migration_runs`: which release moved the schema. A migration creates the table.

use super::{MigrateError, Migrator, Run};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A recorded run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, sqlx::FromRow)]
pub struct RecordedRun {
    /// RFC 3339, UTC.
    pub started_at: String,
    /// How long it took.
    pub duration_ms: i64,
    /// The release that ran it.
    pub release: String,
    /// The version before.
    pub version_before: i64,
    /// The version reached.
    pub version_after: i64,
}

impl Migrator {
    /// The recorded runs, the newest first, a hundred at most.
    ///
    /// # Errors
    /// The database, or the files of this build, cannot be used.
    pub async fn history(&self) -> Result<Vec<RecordedRun>, MigrateError> {
        self.limit.during(self.read_history()).await?
    }

    async fn read_history(&self) -> Result<Vec<RecordedRun>, MigrateError> {
        // Invalid files are an error of every command.
        self.database.files().await?;
        let mut connection = self.database.connect().await?;
        let Some(table) = table_of_runs(&mut connection).await? else {
            return Ok(Vec::new());
        };
        let sql = format!(
            r#"SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
                      duration_ms, release, version_before, version_after
               FROM {table} ORDER BY id DESC LIMIT 100"#,
        );
        let records = sqlx::query_as(AssertSqlSafe(sql)).persistent(false);
        Ok(records.fetch_all(&mut connection).await?)
    }
}

/// Records a run, if there is a table for it.
pub(super) async fn record_run(connection: &mut PgConnection, release: &str, run: Run) -> Result<(), sqlx::Error> {
    let Some(table) = table_of_runs(connection).await? else {
        return Ok(());
    };
    let sql = format!(
        "INSERT INTO {table} (started_at, duration_ms, release, version_before, version_after)
         VALUES (now() - $1 * interval '1 millisecond', $1, $2, $3, $4)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(run.duration_ms)
        .bind(release)
        .bind(run.version_before)
        .bind(run.version_after)
        .execute(connection)
        .await
        .map(drop)
}

/// The table's qualified name. A migration creates the table, so it may be missing. It is looked up in every schema,
/// like the table of migrations; of several, the one in the same schema as that table counts.
async fn table_of_runs(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::raw_sql(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = 'migration_runs' AND c.relkind IN ('r', 'p') AND n.nspname OPERATOR(pg_catalog.!~) '^pg_'
         ORDER BY EXISTS (SELECT FROM pg_catalog.pg_class m
                          WHERE m.relname = '_sqlx_migrations' AND m.relnamespace = n.oid) DESC, 1 LIMIT 1",
    );
    let row = found.fetch_optional(connection).await?;
    row.map(|row| row.try_get("name")).transpose()
}
