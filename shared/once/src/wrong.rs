//! The wrong ways to take a payment once, for the controls of the tests.

use crate::payment::{PROBLEMS, Payment, Refused};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use shared::{
    body::{Content, Json},
    database::Database,
    deadline::Deadline,
    problem::Problem,
    runtime::Route,
};
use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex},
};
use tokio::time::sleep;

pub fn routes(taking: Content) -> [Route<Database>; 2] {
    [
        Route::post("/wrong/second-transaction", in_a_second_transaction)
            .takes(taking)
            .problems(PROBLEMS),
        Route::post("/wrong/memory", in_memory).takes(taking).problems(PROBLEMS),
    ]
}

fn key(headers: &HeaderMap) -> String {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    key.unwrap_or_default().to_owned()
}

/// The key is stored when the payment is committed already.
async fn in_a_second_transaction(
    State(database): State<Database>,
    deadline: Deadline,
    headers: HeaderMap,
    Json(payment): Json<Payment>,
) -> Result<StatusCode, Problem> {
    let (key, stored) = (key(&headers), key(&headers));
    let known = database.transaction(&deadline, async move |transaction| {
        let known = sqlx::query_scalar("SELECT EXISTS (SELECT FROM idempotency_keys WHERE key = $1)");
        Ok::<bool, Refused>(known.bind(&key).fetch_one(transaction).await?)
    });
    if known.await? {
        return Ok(StatusCode::OK);
    }
    let pause = payment.pause_after_the_commit();
    let take = database.transaction(&deadline, async move |transaction| {
        payment.take(transaction, "wrong").await
    });
    take.await?;
    sleep(pause).await;
    let store = database.transaction(&deadline, async move |transaction| {
        let store = sqlx::query("INSERT INTO idempotency_keys (caller, key, fingerprint) VALUES ('', $1, '')");
        Ok::<_, Refused>(store.bind(&stored).execute(transaction).await?)
    });
    store.await?;
    Ok(StatusCode::CREATED)
}

/// The keys that this process has seen.
static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

async fn in_memory(
    State(database): State<Database>,
    deadline: Deadline,
    headers: HeaderMap,
    Json(payment): Json<Payment>,
) -> Result<StatusCode, Problem> {
    let is_new = SEEN.lock().is_ok_and(|mut seen| seen.insert(key(&headers)));
    if !is_new {
        return Ok(StatusCode::OK);
    }
    let take = database.transaction(&deadline, async move |transaction| {
        payment.take(transaction, "wrong").await
    });
    take.await?;
    Ok(StatusCode::CREATED)
}
