//! The real binary in each of its lives: the same requests, the same answers.

#![allow(clippy::unwrap_used)]

use hyper::Method;
use testing::{
    Binary,
    Postgres, // if db
    matrix::{self, Expected},
    tokens, // if callers
};

const PATH: &str = "/examples/1";
const PROBLEM: &str = "application/problem+json"; // if body or callers or state

fn function() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_example-stream"))
        // The key stands in the settings: no server is asked for it.
        .with("TOKEN_ISSUERS", tokens::issuers()) // if callers
}

/// A request, and the status and the media type of its answer.
fn asked(status: u16, media_type: &'static str) -> Expected {
    Expected::new(Method::POST, PATH, status, media_type)
        .sending("application/json", br#"{"text": "good morning, world"}"#) // if body
        .bearer(&tokens::valid()) // if callers
}

#[tokio::test]
async fn every_life_gives_the_same_answers() {
    let function = function();
    let function = function.with("DATABASE_URL", Postgres::shared().migrated_database().await); // if db
    let bucket = tempfile::tempdir().unwrap(); // if storage
    let function = function.with("STORAGE_URL", format!("file://{}", bucket.path().display())); // if storage
    matrix::same_in_every_life(&function, &[asked(200, "text/event-stream")]).await;
}

// if callers
#[tokio::test]
async fn without_a_token_it_is_refused_in_every_life() {
    let anonymous = Expected {
        authorization: None,
        ..asked(401, PROBLEM)
    };
    matrix::same_in_every_life(&function(), &[anonymous]).await;
}

// if body
#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_in_every_life() {
    let refused = |status, media_type, body| asked(status, PROBLEM).sending(media_type, body);
    let expected = [
        refused(415, "text/plain", b"good morning, world"),
        refused(400, "application/json", b"{"),
        refused(422, "application/json", b"{}"),
        refused(422, "application/json", br#"{"text": ""}"#),
    ];
    matrix::same_in_every_life(&function(), &expected).await;
}

// if state
#[tokio::test]
async fn without_what_it_needs_it_answers_a_problem_in_every_life() {
    matrix::same_in_every_life(&function(), &[asked(500, PROBLEM)]).await;
}
