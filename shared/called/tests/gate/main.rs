//! Who gets through to which route, in every life.

#![allow(clippy::unwrap_used)]

mod browsers;
mod hostile;
mod lives;
mod log;
mod platform;
mod start;
mod time;

use serde_json::{Value, json};
use testing::{Binary, Client, Exchange, tokens};

/// The function, which takes the tokens of the kit's issuer.
fn called() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_called")).with("TOKEN_ISSUERS", tokens::issuers())
}

/// A token of `alice` with these scopes.
fn scoped(scope: &str) -> String {
    tokens::token(json!({"scope": scope}))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn get(url: &str, headers: &[(&str, &str)]) -> Exchange {
    Client::http1().send(hyper::Method::GET, url, headers).await
}

/// The status of an answer, and the slug of its problem.
fn refused(answer: &Exchange) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    (answer.status.as_u16(), kind.trim_start_matches("/problems/").to_owned())
}

fn refusal(status: u16, slug: &str) -> (u16, String) {
    (status, slug.to_owned())
}
