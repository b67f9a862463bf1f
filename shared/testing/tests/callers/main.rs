//! Tokens against a real issuer on loopback, and its faults.

#![allow(clippy::unwrap_used)]

mod faults;
mod fuzz;
mod tokens;

use axum::response::IntoResponse;
use serde_json::{Value, json};
use shared::{callers::Callers, config::Env, deadline::Deadline};
use std::time::Duration;
use testing::Issuer;
use tokio::time::Instant;

/// Callers with this value of `TOKEN_ISSUERS`.
fn callers(settings: String) -> Callers {
    let env = Env::new(move |key| (key == "TOKEN_ISSUERS").then(|| settings.clone()));
    let callers = Callers::from_env(&env);
    assert_eq!(env.take_invalid(), []);
    callers
}

/// Callers that know the keys of this issuer by its address alone.
fn callers_of(issuer: &Issuer) -> Callers {
    callers(issuer.settings_with(&json!({"jwks_url": issuer.keys_url()})))
}

/// Within a minute.
fn deadline() -> Deadline {
    Deadline::default().earlier(Instant::now() + Duration::from_secs(60))
}

/// `ok`, or the slug of the problem.
async fn ask(callers: &Callers, token: &str) -> &'static str {
    match callers.verify(token, &deadline()).await {
        Ok(_) => "ok",
        Err(problem) => problem.slug().expect("a kind of its own"),
    }
}

/// What a client sees of a problem: status, challenge, `Retry-After` in seconds, and body.
async fn seen(callers: &Callers, token: &str) -> (u16, String, u64, String) {
    let problem = callers.verify(token, &deadline()).await.expect_err("a problem");
    let (head, body) = problem.into_response().into_parts();
    let header = |name| {
        let value = head.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let body = axum::body::to_bytes(body, 10_000).await.unwrap();
    (
        head.status.as_u16(),
        header("www-authenticate"),
        header("retry-after").parse().unwrap_or(0),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn alice() -> Value {
    json!({"sub": "alice"})
}
