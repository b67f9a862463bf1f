//! What happens to callers while their issuer is broken.

use crate::{alice, ask, callers, callers_of, seen};
use futures_util::future::join_all;
use serde_json::json;
use shared::deadline::Deadline;
use std::time::Duration;
use testing::{Fault, Issuer, SigningKey};
use tokio::time::Instant;

#[tokio::test]
async fn an_issuer_that_is_broken_at_the_start_is_503_with_retry_after_and_never_401() {
    let slow = Duration::from_secs(3600);
    let second = Duration::from_secs(1);
    for fault in [
        Fault::Unavailable,
        Fault::Html,
        Fault::Redirect,
        Fault::Huge,
        Fault::Truncated,
        Fault::Empty,
        Fault::Array,
        Fault::Twice,
        Fault::OffCurve,
        Fault::OtherAlgorithm,
        Fault::Slow(slow),
    ] {
        let issuer = Issuer::start().await;
        issuer.set_fault(Some(fault));
        let callers = callers_of(&issuer);
        let token = issuer.token(&alice());
        let deadline = Deadline::default().earlier(Instant::now() + second);
        let problem = callers.verify(&token, &deadline).await.expect_err("no key");
        assert_eq!(problem.status(), 503, "{fault:?}");
        let (status, challenge, retry_after, body) = if matches!(fault, Fault::Slow(_)) {
            continue;
        } else {
            seen(&callers, &token).await
        };
        assert_eq!((status, challenge.as_str()), (503, ""), "{fault:?}");
        assert!((1..=5).contains(&retry_after), "{fault:?} {retry_after}");
        assert!(
            !body.contains(&issuer.url) && body.contains("/problems/unavailable"),
            "{body}"
        );
        assert_eq!(issuer.fetches(), 1, "{fault:?} is left alone");
    }
}

#[tokio::test]
async fn an_issuer_that_nobody_reaches_is_503_whatever_keeps_it_away() {
    let issuer = Issuer::start().await;
    let token = issuer.token(&alice());
    let with_tls = issuer.url.replace("http://", "https://");
    for jwks_url in [
        // A closed port, TLS where there is none, a host that is not there.
        "http://127.0.0.1:1/keys".to_owned(),
        format!("{with_tls}/keys"),
        "https://nobody.invalid/keys".to_owned(),
    ] {
        let callers = callers(issuer.settings_with(&json!({"jwks_url": jwks_url})));
        assert_eq!(seen(&callers, &token).await.0, 503, "{jwks_url}");
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn the_document_of_an_issuer_with_another_name_leads_to_no_keys() {
    let issuer = Issuer::start().await;
    let name = format!("{}/", issuer.url);
    let callers = callers(issuer.settings_with(&json!({"issuer": name})));
    assert_eq!(seen(&callers, &issuer.token(&json!({"iss": name}))).await.0, 503);
    assert_eq!(issuer.fetches(), 0, "the document was enough");
}

#[tokio::test]
async fn keys_at_hand_are_used_while_the_issuer_is_down_and_a_new_one_is_found_when_it_is_back() {
    let mut issuer = Issuer::start().await;
    let callers = callers(issuer.settings());
    let old = issuer.token(&alice());
    assert_eq!(ask(&callers, &old).await, "ok");
    issuer.stop().await;
    issuer.rotate();
    let new = issuer.token(&alice());
    assert_eq!(seen(&callers, &new).await.0, 503, "the key may be a new one");
    assert_eq!(ask(&callers, &old).await, "ok");
    issuer.resume().await;
    assert_eq!(seen(&callers, &new).await.0, 503, "it was asked within a minute");
    let fresh = crate::callers(issuer.settings());
    assert_eq!(ask(&fresh, &new).await, "ok");
}

#[tokio::test]
async fn a_key_set_without_the_key_is_a_key_that_is_unknown() {
    let issuer = Issuer::start().await;
    issuer.set_fault(Some(Fault::OtherKeys));
    let callers = callers_of(&issuer);
    for _ in 0..10 {
        assert_eq!(ask(&callers, &issuer.token(&alice())).await, "key-unknown");
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_that_can_verify_nothing_replace_none() {
    for fault in [
        Fault::Empty,
        Fault::Array,
        Fault::Twice,
        Fault::OffCurve,
        Fault::OtherAlgorithm,
    ] {
        let issuer = Issuer::start().await;
        let callers = callers_of(&issuer);
        let (good, stranger) = (issuer.token(&alice()), SigningKey::es256());
        assert_eq!(ask(&callers, &good).await, "ok");
        issuer.set_fault(Some(fault));
        let claims = json!({"iss": issuer.url, "sub": "a", "exp": 9_999_999_999_u64});
        let unknown = stranger.sign(&stranger.header(), &claims);
        assert_eq!(seen(&callers, &unknown).await.0, 503, "{fault:?}");
        assert_eq!(issuer.fetches(), 2, "{fault:?} was fetched");
        assert_eq!(ask(&callers, &good).await, "ok", "{fault:?}");
    }
    let issuer = Issuer::start().await;
    let callers = callers_of(&issuer);
    let good = issuer.token(&alice());
    assert_eq!(ask(&callers, &good).await, "ok");
    issuer.set_fault(Some(Fault::OtherKeys));
    let unknown = issuer.newest_key().sign(
        &json!({"alg": "ES256", "kid": "x"}),
        &json!({"iss": issuer.url, "sub": "a", "exp": 9e9}),
    );
    assert_eq!(ask(&callers, &unknown).await, "key-unknown");
    assert_eq!(
        ask(&callers, &good).await,
        "key-unknown",
        "the control: a set that can verify counts"
    );
}

#[tokio::test]
async fn a_slow_issuer_is_waited_for_once_by_all() {
    let issuer = Issuer::start().await;
    issuer.set_fault(Some(Fault::Slow(Duration::from_millis(300))));
    let callers = callers_of(&issuer);
    let token = issuer.token(&alice());
    let answers = join_all((0..100).map(|_| ask(&callers, &token))).await;
    assert!(answers.iter().all(|answer| *answer == "ok"), "{answers:?}");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_the_fetch_for_the_others() {
    let issuer = Issuer::start().await;
    issuer.set_fault(Some(Fault::Slow(Duration::from_millis(500))));
    let callers = callers_of(&issuer);
    let token = issuer.token(&alice());
    let impatient = tokio::time::timeout(Duration::from_millis(100), ask(&callers, &token));
    assert!(impatient.await.is_err());
    assert_eq!(ask(&callers, &token).await, "ok");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn rotation_under_load_refuses_no_valid_token() {
    let issuer = Issuer::start().await;
    let callers = callers_of(&issuer);
    let old = issuer.token(&alice());
    let clients = async {
        for round in 0..50 {
            if round == 25 {
                issuer.rotate();
            }
            let tokens = [old.clone(), issuer.token(&alice())];
            let answers = join_all((0..20).map(|client| ask(&callers, &tokens[client % 2]))).await;
            assert!(answers.iter().all(|answer| *answer == "ok"), "{round} {answers:?}");
        }
    };
    clients.await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn ten_thousand_tokens_with_random_key_ids_are_two_fetches() {
    let issuer = Issuer::start().await;
    let callers = callers_of(&issuer);
    let (stranger, claims) = (
        SigningKey::eddsa(),
        json!({"iss": issuer.url, "sub": "a", "exp": 9_999_999_999_u64}),
    );
    let start = Instant::now();
    for id in 0..10_000 {
        let header = json!({"alg": "ES256", "kid": id.to_string()});
        assert_eq!(ask(&callers, &stranger.sign(&header, &claims)).await, "key-unknown");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(ask(&callers, &issuer.token(&alice())).await, "ok");
}
