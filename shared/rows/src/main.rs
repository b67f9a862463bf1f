//! A function that stores a row for each request: with a single statement, and in a transaction.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use shared::{
    body,
    config::Env,
    database::Database,
    deadline::Deadline,
    problem::Problem,
    runtime::{self, Route, Service},
};
use sqlx::types::time::OffsetDateTime;
use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::serve(service)
}

fn service(env: &Env) -> Service {
    let database = Database::from_env(env);
    let content = body::json(1 << 10);
    let routes = [
        Route::post("/rows", insert).takes(content).with_state(database.clone()),
        Route::post("/transactions", insert_in_transaction)
            .takes(content)
            .with_state(database),
    ];
    Service::new(routes.map(Route::public))
}

#[derive(Deserialize)]
struct New {
    release: String,
}

#[derive(Serialize)]
struct Stored {
    id: i64,
}

type Answer = Result<(StatusCode, Json<Stored>), Problem>;

async fn insert(State(database): State<Database>, deadline: Deadline, body::Json(new): body::Json<New>) -> Answer {
    let id = rows::record(&database.connection(&deadline), &new.release, OffsetDateTime::now_utc()).await?;
    Ok((StatusCode::CREATED, Json(Stored { id })))
}

async fn insert_in_transaction(
    State(database): State<Database>,
    deadline: Deadline,
    body::Json(new): body::Json<New>,
) -> Answer {
    let stored = database.transaction(&deadline, async move |transaction| {
        rows::record(transaction, &new.release, OffsetDateTime::now_utc()).await
    });
    let id = stored.await?;
    Ok((StatusCode::CREATED, Json(Stored { id })))
}
