//! Tokens of any kind: no panic, and no answer but 401 and 503.

use crate::callers_of;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use shared::{callers::Callers, deadline::Deadline};
use testing::{Issuer, SigningKey};

/// Any JSON, with values that claims and headers have among it.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("ES256")),
        Just(json!("the-api")),
        Just(json!(9_999_999_999_u64)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,6}", inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// An object with some of these members.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let member = (proptest::sample::select(names), json_value());
    vec(member, 0..6).prop_map(|members| {
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

async fn assert_closed(callers: &Callers, token: &str) {
    match callers.verify(token, &Deadline::default()).await {
        Ok(caller) => assert_eq!(caller.subject(), "alice"),
        Err(problem) => assert!(matches!(problem.status().as_u16(), 401 | 503), "{problem:?}"),
    }
}

fn run<S: Strategy>(cases: u32, strategy: S, token: impl Fn(S::Value) -> String)
where
    S::Value: Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let issuer = runtime.block_on(Issuer::start());
    let callers = callers_of(&issuer);
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let result = TestRunner::new(config).run(&strategy, |value| {
        runtime.block_on(assert_closed(&callers, &token(value)));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn any_text_is_refused() {
    run(2000, "(?s).{0,200}", |text| text);
    run(2000, "[A-Za-z0-9_=.-]{0,200}", |text| text);
}

#[test]
fn any_header_and_any_claims_that_anybody_signs_are_refused() {
    let headers = object(&["alg", "kid", "typ", "crit", "jwk", "b64"]);
    let claims = object(&[
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "scope",
        "scp",
        "email_verified",
    ]);
    let key = SigningKey::es256();
    run(2000, (headers, claims), move |(header, claims)| {
        key.sign(&header, &claims)
    });
}

/// As a token that is valid but for one change of its text.
#[test]
fn any_change_of_a_valid_token_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let issuer = runtime.block_on(Issuer::start());
    let (callers, valid) = (callers_of(&issuer), issuer.token(&json!({})));
    runtime.block_on(async {
        assert!(callers.verify(&valid, &Deadline::default()).await.is_ok());
        for index in 0..valid.len() {
            for byte in [b'A', b'.', b'=', b'~'] {
                let mut changed = valid.clone().into_bytes();
                changed[index] = byte;
                let changed = String::from_utf8(changed).unwrap();
                let answer = callers.verify(&changed, &Deadline::default()).await;
                assert!(changed == valid || answer.is_err(), "{changed}");
            }
        }
    });
}

/// Claims of any kind with a good signature: what is refused is refused for what it says.
#[test]
fn any_claims_that_the_issuer_signs_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let issuer = runtime.block_on(Issuer::start());
    let callers = callers_of(&issuer);
    let claims = object(&["sub", "aud", "exp", "nbf", "iat", "scope", "scp", "email", "azp", "gty"]);
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(1000)
    };
    let result = TestRunner::new(config).run(&claims, |claims| {
        let token = issuer.token(&claims);
        let answer = runtime.block_on(callers.verify(&token, &Deadline::default()));
        let status = answer.map_or_else(|problem| problem.status().as_u16(), |_| 200);
        prop_assert!(matches!(status, 200 | 401), "{status}");
        Ok(())
    });
    result.unwrap();
}
