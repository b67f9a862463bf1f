//! What it costs to verify a token, against the verification of its signature by ring alone, and what a caller adds to a cold
//! start.

use crate::{
    BARE_LAMBDA, CALLED, Measured,
    lambda::{COLD_ROUNDS, cold_start, function},
    median,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use shared::{callers::Callers, config::Env, deadline::Deadline};
use std::time::Instant;
use testing::{Binary, EventShape, Issuer, SigningKey};

const ROUNDS: usize = 500;
const FIRST_ROUNDS: usize = 50;

pub async fn verification() {
    println!(
        "\n| a token | ring alone | verified | again | the first, with discovery and keys from loopback |\n|---|---|---|---|---|"
    );
    for (name, key) in [("RS256", SigningKey::rs256()), ("ES256", SigningKey::es256())] {
        let issuer = Issuer::with(key).await;
        let [alone, verified, again] = warm(&issuer).await;
        let first = first(&issuer, &token(&issuer, 0)).await;
        println!("| {name} | {alone:.1} us | {verified:.1} us | {again:.1} us | {first:.2} ms |");
    }
}

fn callers(issuer: &Issuer) -> Callers {
    let settings = issuer.settings();
    Callers::from_env(&Env::new(move |key| (key == "TOKEN_ISSUERS").then(|| settings.clone())))
}

fn token(issuer: &Issuer, number: usize) -> String {
    issuer.token(&json!({"jti": number, "scope": "streams:read:cases/ streams:write:cases/42/"}))
}

/// The medians in microseconds, one after the other in each round: of a token's signature by ring alone, of the token, and of
/// the same token again.
async fn warm(issuer: &Issuer) -> [f64; 3] {
    let (callers, key, deadline) = (callers(issuer), issuer.newest_key(), Deadline::default());
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let token = token(issuer, round);
        let (message, signature) = token.rsplit_once('.').expect("a token");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("a token");
        let start = Instant::now();
        assert!(key.verify(message.as_bytes(), &signature));
        times[0].push(start.elapsed().as_secs_f64() * 1e6);
        for times in &mut times[1..] {
            let start = Instant::now();
            assert!(callers.verify(&token, &deadline).await.is_ok());
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.map(median)
}

/// The median in milliseconds.
async fn first(issuer: &Issuer, token: &str) -> f64 {
    let mut times = Vec::new();
    for _ in 0..FIRST_ROUNDS {
        let callers = callers(issuer);
        let start = Instant::now();
        assert!(callers.verify(token, &Deadline::default()).await.is_ok());
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    median(times)
}

/// The kinds of a first request, the peer first: the ratios are against it. They take turns.
pub async fn cold_starts() {
    let issuer = Issuer::with(SigningKey::rs256()).await;
    let with = |settings: String| function(CALLED).with("TOKEN_ISSUERS", settings);
    let inline = with(issuer.settings_with(&json!({"jwks": issuer.key_set()})));
    let discovered = with(issuer.settings());
    let public = Measured {
        route: "/public",
        ..CALLED
    };
    let kinds: [(&str, Measured, Binary); 4] = [
        ("a bare `lambda_http` hello", BARE_LAMBDA, function(BARE_LAMBDA)),
        ("a public route of a function with callers", public, discovered.clone()),
        ("a caller, with the keys in the settings", CALLED, inline),
        ("a caller, with discovery and keys from loopback", CALLED, discovered),
    ];
    let mut times = kinds.each_ref().map(|_| Vec::new());
    let fetches = issuer.fetches();
    for _ in 0..COLD_ROUNDS {
        for ((_, measured, function), times) in kinds.iter().zip(&mut times) {
            let bearer = format!("Bearer {}", issuer.token(&json!({})));
            let event = EventShape::FunctionUrl.event("GET", measured.route, &[("authorization", &bearer)]);
            times.push(cold_start(*measured, function, &event).await);
        }
    }
    assert_eq!(
        issuer.fetches() - fetches,
        COLD_ROUNDS,
        "one kind has fetched keys, each time"
    );
    println!("\n| cold start, spawn to first byte | ms, median of {COLD_ROUNDS} | ratio |\n|---|---|---|");
    let medians = times.map(median);
    for ((name, ..), time) in kinds.iter().zip(medians) {
        println!("| {name} | {time:.2} | {:.2} |", time / medians[0]);
    }
}
