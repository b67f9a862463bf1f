//! Typed queries as functions write them: checked against `migrations/` when they are compiled.

use shared::database::Transaction;
use sqlx::{
    PgExecutor,
    types::{Json, Uuid, time::OffsetDateTime},
};

/// A run of `migrate`.
#[derive(Debug)]
pub struct Run {
    /// Grows by run.
    pub id: i64,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// The release that ran it.
    pub release: String,
}

/// Records a run.
///
/// # Errors
/// Of the query.
pub async fn record(database: impl PgExecutor<'_>, release: &str, started_at: OffsetDateTime) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "INSERT INTO migration_runs (started_at, duration_ms, release, version_before, version_after)
         VALUES ($1, 0, $2, 0, 1) RETURNING id",
        started_at,
        release
    )
    .fetch_one(database)
    .await
}

/// The newest run.
///
/// # Errors
/// Of the query.
pub async fn newest(transaction: &mut Transaction) -> sqlx::Result<Option<Run>> {
    sqlx::query_as!(
        Run,
        "SELECT id, started_at, release FROM migration_runs ORDER BY id DESC LIMIT 1"
    )
    .fetch_optional(transaction)
    .await
}

/// What comes back of a UUID and of JSON.
///
/// # Errors
/// Of the query.
pub async fn echo(
    transaction: &mut Transaction,
    id: Uuid,
    json: serde_json::Value,
) -> sqlx::Result<(Uuid, serde_json::Value)> {
    let echo = sqlx::query!(
        r#"SELECT $1::uuid AS "id!", $2::jsonb AS "json!: Json<serde_json::Value>""#,
        id,
        json
    );
    let echo = echo.fetch_one(transaction).await?;
    Ok((echo.id, echo.json.0))
}
