//! The least that axum and sqlx can do to store a row for each request: a single statement, and a transaction.

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool, postgres::PgPoolOptions, types::time::OffsetDateTime};
use std::{env, error::Error};

#[derive(Deserialize)]
struct New {
    release: String,
}

#[derive(Serialize)]
struct Stored {
    id: i64,
}

type Answer = Result<(StatusCode, Json<Stored>), StatusCode>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PgPoolOptions::new().max_connections(5);
    let pool = pool.connect_lazy(&env::var("DATABASE_URL")?)?;
    let router = Router::new()
        .route("/rows", post(insert))
        .route("/transactions", post(insert_in_transaction));
    let port = env::var("PORT").unwrap_or_default().parse().unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    // The line that every function of the bundle writes.
    eprintln!(r#"{{"message":"listening","address":"{}"}}"#, listener.local_addr()?);
    Ok(axum::serve(listener, router.with_state(pool)).await?)
}

async fn insert(State(pool): State<PgPool>, Json(new): Json<New>) -> Answer {
    answer(record(&pool, &new.release).await)
}

async fn insert_in_transaction(State(pool): State<PgPool>, Json(new): Json<New>) -> Answer {
    let stored = async {
        let mut transaction = pool.begin().await?;
        let id = record(&mut *transaction, &new.release).await?;
        transaction.commit().await.map(|()| id)
    };
    answer(stored.await)
}

fn answer(stored: sqlx::Result<i64>) -> Answer {
    let id = stored.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::CREATED, Json(Stored { id })))
}

async fn record(database: impl PgExecutor<'_>, release: &str) -> sqlx::Result<i64> {
    let insert = sqlx::query_scalar(
        "INSERT INTO migration_runs (started_at, duration_ms, release, version_before, version_after)
         VALUES ($1, 0, $2, 0, 1) RETURNING id",
    );
    insert
        .bind(OffsetDateTime::now_utc())
        .bind(release)
        .fetch_one(database)
        .await
}
