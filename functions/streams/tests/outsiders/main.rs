//! What others wrote: the conformance suite of the protocol, in each surrounding that this function has to live in, and clients.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod clients;
mod cutter;
mod front;
mod packages;
mod suite;

use suite::{ALL, assert_conforms};
use testing::{Binary, FakeRuntimeApi, PgBouncer, Postgres, Process, tokens};

/// The server, with what the suite needs: it sends a preflight from this origin, and waits for long polls to end.
fn binary(database: String) -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_streams"))
        .with("DATABASE_URL", database)
        .with("TOKEN_ISSUERS", tokens::issuers())
        .with("CORS_ORIGINS", "https://example.com")
        .with("STREAM_LONG_POLL", "3s")
}

async fn migrated() -> Binary {
    binary(Postgres::shared().migrated_database().await)
}

fn serve(instance: &Binary, count: usize) -> (Vec<Process>, Vec<String>) {
    let servers: Vec<Process> = (0..count).map(|_| instance.serve()).collect();
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    (servers, urls)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn one_instance_conforms() {
    let (_servers, urls) = serve(&migrated().await, 1);
    assert_conforms("one", &front::balance(urls).await, ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn three_instances_conform_that_take_turns_with_each_request() {
    let (_servers, urls) = serve(&migrated().await, 3);
    assert_conforms("three", &front::balance(urls).await, ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm, pgbouncer"]
async fn instances_behind_a_pooler_conform() {
    let direct = Postgres::shared().migrated_database().await;
    let pooler = PgBouncer::start(
        Postgres::shared(),
        &["pool_mode = transaction", "default_pool_size = 4"],
    );
    let (_servers, urls) = serve(&binary(pooler.url(&direct)), 3);
    assert_conforms("pooler", &front::balance(urls).await, ALL).await;
}

/// No instance hears of the appends of another one but by its poll.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn instances_whose_doorbell_is_dead_conform() {
    let deaf = migrated()
        .await
        .with("DATABASE_DIRECT_URL", "postgresql://127.0.0.1:1/none");
    let (_servers, urls) = serve(&deaf, 3);
    assert_conforms("deaf", &front::balance(urls).await, ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn pages_of_4_kib_conform() {
    let (_servers, urls) = serve(&migrated().await.with("STREAM_PAGE", "4096"), 1);
    assert_conforms("pages", &front::balance(urls).await, ALL).await;
}

/// Many requests at once to each environment, which does not learn that a client has gone.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "npm"]
async fn on_lambda_the_function_conforms_by_streams() {
    let api = FakeRuntimeApi::start().await;
    let function = migrated().await;
    let function = function
        .with("AWS_LAMBDA_MAX_CONCURRENCY", "32")
        .with("SSE_MAX_AGE", "3s");
    let _environments = [function.on_lambda(&api), function.on_lambda(&api)];
    assert_conforms("lambda", &front::lambda(api).await, ALL).await;
}
