//! What the log says of callers, and what it must not say.

use crate::{bearer, called, get};
use serde_json::{Value, json};
use testing::{EventShape, FakeRuntimeApi, tokens};

const SUBJECT: &str = "alice-0c9f";

#[tokio::test]
async fn the_access_line_names_the_issuer_and_a_hash_of_the_subject_in_every_life() {
    let token = bearer(&tokens::token(
        json!({"sub": SUBJECT, "email": "a@example.com", "email_verified": true}),
    ));
    let mut server = called().serve();
    let answer = get(&format!("{}/whoami", server.url), &[("authorization", &token)]).await;
    assert_eq!(answer.status, 200, "{}", answer.transcript());
    let line = server.next_line("\"access\"").await;
    let on_server = caller(&line);
    assert_eq!(on_server.0, tokens::ISSUER);
    assert_eq!(on_server.1.len(), 16, "{line}");
    let api = FakeRuntimeApi::start().await;
    let mut lambda = called().on_lambda(&api);
    api.exchange(&EventShape::HttpApi.event("GET", "/whoami", &[("authorization", &token)]))
        .await;
    assert_eq!(caller(&lambda.next_line("\"access\"").await), on_server);
    for log in [server.log(), lambda.log()] {
        for secret in [SUBJECT, "a@example.com", token.rsplit('.').next().unwrap()] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}

#[tokio::test]
async fn a_refusal_by_the_clock_says_by_how_much_in_the_access_line_alone() {
    let mut server = called().serve();
    let token = bearer(&tokens::token(json!({"exp": 1_000_000_000})));
    let answer = get(&format!("{}/whoami", server.url), &[("authorization", &token)]).await;
    assert_eq!(answer.status, 401, "{}", answer.transcript());
    let line: Value = serde_json::from_str(&server.next_line("\"access\"").await).unwrap();
    assert_eq!(line["reason"], "token-expired", "{line}");
    assert!(line["clock_seconds"].as_u64() > Some(500_000_000), "{line}");
    assert_eq!(server.log().matches("token-expired").count(), 1, "{}", server.log());
}

fn caller(line: &str) -> (String, String) {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (text("issuer"), text("subject_hash"))
}

#[tokio::test]
async fn a_refusal_has_its_cause_once_and_no_part_of_the_token() {
    let mut server = called().serve();
    for (token, status, reason) in [
        (
            tokens::token(json!({"aud": "another-audience", "sub": SUBJECT})),
            401,
            "audience-wrong",
        ),
        (tokens::token(json!({"sub": SUBJECT})), 403, "scope-missing"),
        (
            tokens::signed(
                &json!({"alg": "RS256"}),
                &json!({"iss": tokens::ISSUER, "sub": SUBJECT, "exp": 9e9}),
            ),
            401,
            "key-unknown",
        ),
        (
            format!("{}x", tokens::token(json!({"sub": SUBJECT}))),
            401,
            "token-malformed",
        ),
    ] {
        let answer = get(
            &format!("{}/files/a", server.url),
            &[("authorization", &bearer(&token))],
        )
        .await;
        assert_eq!(answer.status, status, "{}", answer.transcript());
        let line: Value = serde_json::from_str(&server.next_line("\"access\"").await).unwrap();
        assert_eq!(
            line["issuer"].is_string(),
            status == 403,
            "a caller is one that is verified: {line}"
        );
        assert_eq!(line["reason"], reason, "{line}");
        let names_issuer = status == 401 && reason != "token-malformed";
        assert_eq!(line["token_issuer"].is_string(), names_issuer, "{line}");
        assert_eq!(server.log().matches(reason).count(), 1, "{}", server.log());
        for part in token.split('.').chain([SUBJECT, "another-audience"]) {
            assert!(
                !server.log().contains(part) && !answer.transcript().contains(part),
                "{part}: {}",
                server.log()
            );
        }
    }
}
