//! The trail from releases to schemas: a table that a migration makes.

use super::{Migrator, Refusal, Run};
use serde::Serialize;
use sqlx::PgConnection;

/// A recorded run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, sqlx::FromRow)]
pub struct Record {
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
    /// The database cannot be used.
    pub async fn history(&self) -> Result<Vec<Record>, Refusal> {
        let mut connection = self.database.connect().await?;
        if !has_history(&mut connection).await? {
            return Ok(Vec::new());
        }
        let records = sqlx::query_as(
            r#"SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
                      duration_ms, release, version_before, version_after
               FROM migration_runs ORDER BY id DESC LIMIT 100"#,
        );
        Ok(records.fetch_all(&mut connection).await?)
    }
}

/// Records a run, where there is a table to record it in.
pub(super) async fn record(connection: &mut PgConnection, release: &str, run: Run) -> Result<(), sqlx::Error> {
    if !has_history(connection).await? {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO migration_runs (started_at, duration_ms, release, version_before, version_after)
         VALUES (now() - $1 * interval '1 millisecond', $1, $2, $3, $4)",
    )
    .bind(run.duration_ms)
    .bind(release)
    .bind(run.version_before)
    .bind(run.version_after)
    .execute(connection)
    .await
    .map(drop)
}

/// The table of runs is made by a migration, and may not be there yet or any more.
async fn has_history(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('migration_runs') IS NOT NULL")
        .fetch_one(connection)
        .await
}
