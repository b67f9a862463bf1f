//! A function that takes payments, each once. A request says how long it takes, before and after its commit, and what its
//! answer is, so that tests can break it at any point.

mod payment;
mod wrong;

use axum::{
    extract::{Path, State},
    response::Response,
};
use payment::{Payment, Refused};
use shared::{
    body::{self, Json},
    callers::Callers,
    config::Env,
    database::Database,
    deadline::Deadline,
    idempotency::Once,
    problem::Problem,
    runtime::{self, Route, Service},
};
use std::process::ExitCode;
use tokio::time::sleep;

fn main() -> ExitCode {
    runtime::serve(service)
}

fn service(env: &Env) -> Service {
    let database = Database::from_env(env);
    let taking = body::json(64 << 10);
    let right = [
        Route::post("/payments/{account}", pay)
            .takes(taking)
            .once()
            .problems(payment::PROBLEMS),
        Route::put("/payments/{account}", pay)
            .takes(taking)
            .once()
            .problems(payment::PROBLEMS),
        Route::post("/unread", unread)
            .takes(taking)
            .once()
            .problems(payment::PROBLEMS),
        Route::post("/without-a-body", without_a_body)
            .once()
            .problems(payment::PROBLEMS),
        Route::post("/undeclared", unread).takes(taking),
    ];
    let called = Route::post("/called/{account}", pay)
        .callers(&Callers::from_env(env))
        .takes(taking)
        .once()
        .problems(payment::PROBLEMS);
    let routes = right.into_iter().chain(wrong::routes(taking)).map(Route::public);
    let routes = routes.chain([called]);
    Service::new(routes.map(|route| route.with_state(database.clone())))
}

async fn pay(
    State(database): State<Database>,
    Path(account): Path<String>,
    once: Once,
    deadline: Deadline,
    Json(payment): Json<Payment>,
) -> Result<Response, Problem> {
    let pause = payment.pause_after_the_commit();
    let work = once.transaction(&database, &deadline, async move |transaction| {
        let id = payment.take(transaction, &account).await?;
        payment.answer(id)
    });
    let answer = work.await?;
    sleep(pause).await;
    Ok(answer)
}

/// The body is still to be read when the transaction begins.
async fn unread(State(database): State<Database>, once: Once, deadline: Deadline) -> Result<Response, Problem> {
    let work = once.transaction(&database, &deadline, async |_| Ok::<_, Refused>(()));
    work.await
}

async fn without_a_body(State(database): State<Database>, once: Once, deadline: Deadline) -> Result<Response, Problem> {
    let payment = Payment::default();
    let work = once.transaction(&database, &deadline, async move |transaction| {
        let id = payment.take(transaction, "cash").await?;
        payment.answer(id)
    });
    work.await
}
