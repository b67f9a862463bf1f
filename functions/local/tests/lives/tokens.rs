//! Tokens of `local`, and what takes them.

use crate::newcomer::Checkout;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use shared::{
    callers::{Caller, Callers, Kind},
    config::Env,
    deadline::Deadline,
    problem::Problem,
};
use std::os::unix::fs::{PermissionsExt, chown};
use testing::Client;

/// What a command prints: one line.
fn line(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(
        (output.status.code(), printed.lines().count()),
        (Some(0), 1),
        "{output:?}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
    printed.trim_end().to_owned()
}

fn refused(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A function by itself, with this setting.
async fn verify(issuers: &str, token: &str) -> Result<Caller, Problem> {
    let issuers = issuers.to_owned();
    let env = Env::new(move |key| (key == "TOKEN_ISSUERS").then(|| issuers.clone()));
    let callers = Callers::from_env(&env);
    assert_eq!(env.take_invalid(), []);
    callers.verify(token, &Deadline::default()).await
}

fn settings(checkout: &Checkout) -> String {
    let line = line(checkout, &["token", "--settings"]);
    line.strip_prefix("TOKEN_ISSUERS=").unwrap().to_owned()
}

#[tokio::test]
async fn a_function_by_itself_takes_a_token_by_the_settings_and_no_token_of_another_checkout() {
    let (checkout, other) = (Checkout::new("token"), Checkout::new("token-other"));
    let issuers = settings(&checkout);
    assert!(!issuers.contains(char::is_whitespace), "a shell splits {issuers}");
    let scope = "streams:read:cases/ streams:write:cases/42/";
    let token = line(
        &checkout,
        &[
            "token",
            "--sub",
            "alice",
            "--scope",
            scope,
            "--email",
            "alice@example.com",
        ],
    );
    let alice = verify(&issuers, &token).await.unwrap();
    assert_eq!(
        (alice.subject(), alice.email(), alice.kind()),
        ("alice", Some("alice@example.com"), Kind::User)
    );
    assert!(alice.may("streams:write", "cases/42/events") && !alice.may("streams:write", "cases/43/events"));
    let developer = verify(&issuers, &line(&checkout, &["token"])).await.unwrap();
    assert_eq!((developer.subject(), developer.scopes().count()), ("developer", 0));
    let service = line(&checkout, &["token", "--sub", "indexer", "--service"]);
    assert_eq!(verify(&issuers, &service).await.unwrap().kind(), Kind::Service);
    let foreign = verify(&issuers, &line(&other, &["token"])).await.err().unwrap();
    assert_eq!(foreign.into_response().status(), 401);
}

#[tokio::test]
async fn local_publishes_its_key_on_any_port_and_keeps_it_when_it_is_reset() {
    let checkout = Checkout::new("issuer");
    let token = line(&checkout, &["token"]);
    let server = checkout.start();
    let get = async |url: &str| Client::http1().get(url).await.json();
    let document: Value = get(&format!("{}/.well-known/openid-configuration", server.url)).await;
    let keys = document["jwks_uri"].as_str().unwrap();
    assert!(keys.starts_with(&server.url), "{document}");
    assert!(get(keys).await["keys"][0]["d"].is_null());
    let issuers = json!([{"issuer": document["issuer"], "audience": shared::BUNDLE, "jwks_url": keys}]).to_string();
    assert_eq!(verify(&issuers, &token).await.unwrap().subject(), "developer");
    drop(server);
    let key = checkout.0.join(".local/issuer.pk8");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = settings(&checkout);
    assert_eq!(checkout.local().run(&["reset"]).status.code(), Some(0));
    assert_eq!(settings(&checkout), before);
}

#[test]
fn issuers_of_the_environment_that_are_no_array_are_refused_before_anything_starts() {
    let checkout = Checkout::new("issuers");
    let local = checkout.local().with("TOKEN_ISSUERS", "https://hunter2.example");
    for arguments in [&["token", "--settings"][..], &[]] {
        let output = local.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("TOKEN_ISSUERS must be"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!checkout.0.join(".local/postgres").exists());
}

#[test]
fn what_is_not_a_token_is_one_sentence() {
    let checkout = Checkout::new("no-token");
    for (arguments, why) in [
        (&["token", "alice"][..], "alice is unknown"),
        (
            &["token", "--ttl", "25h"],
            "--ttl must be a duration between 1s and 24h",
        ),
        (&["token", "--scope", &"a".repeat(8192)], "functions read 8192"),
    ] {
        let sentence = refused(&checkout, arguments);
        assert!(sentence.starts_with("local: ") && sentence.contains(why), "{sentence}");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
}

#[test]
#[ignore = "needs root; .ci/run runs it"]
fn as_root_a_key_or_a_folder_of_another_user_is_refused() {
    for taken in [".local", ".local/issuer.pk8"] {
        let checkout = Checkout::new("issuer-other");
        line(&checkout, &["token"]);
        chown(checkout.0.join(taken), Some(54321), Some(54321)).unwrap();
        for arguments in [&["token"][..], &["token", "--settings"], &[]] {
            let sentence = refused(&checkout, arguments);
            assert!(
                sentence.contains(taken) && sentence.contains("belongs to another user"),
                "{sentence}"
            );
        }
    }
}
