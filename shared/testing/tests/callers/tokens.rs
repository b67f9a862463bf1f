//! What a token must be.

use crate::{ask, callers, callers_of, deadline, seen};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use shared::callers::Kind;
use std::time::{Duration, SystemTime};
use testing::{Issuer, SigningKey};

#[tokio::test]
async fn a_token_of_an_issuer_found_by_discovery_says_who_calls() {
    let issuer = Issuer::start().await;
    let callers = callers(issuer.settings());
    let token = issuer.token(&json!({
        "sub": "alice", "scope": "streams:read:cases/ profile", "email": "alice@example.com", "email_verified": true,
    }));
    let caller = callers.verify(&token, &deadline()).await.unwrap();
    assert_eq!((caller.issuer(), caller.subject()), (issuer.url.as_str(), "alice"));
    assert_eq!((caller.email(), caller.kind()), (Some("alice@example.com"), Kind::User));
    assert!(
        caller.has("profile") && caller.may("streams:read", "cases/42") && !caller.may("streams:write", "cases/42")
    );
    let left = caller.expires().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(
        left > Duration::from_secs(3600) && left <= Duration::from_secs(3660),
        "{left:?}"
    );
}

#[tokio::test]
async fn each_algorithm_that_an_issuer_may_sign_with_is_verified_if_the_settings_name_it() {
    for (key, algorithm, is_default) in [
        (SigningKey::es256(), "ES256", true),
        (SigningKey::rs256(), "RS256", true),
        (SigningKey::eddsa(), "EdDSA", false),
    ] {
        let issuer = Issuer::with(key).await;
        let token = issuer.token(&json!({}));
        let expected = if is_default { "ok" } else { "signature-wrong" };
        assert_eq!(ask(&callers(issuer.settings()), &token).await, expected, "{algorithm}");
        let inline = issuer.settings_with(&json!({"algorithms": [algorithm], "jwks": issuer.key_set()}));
        assert_eq!(ask(&callers(inline), &token).await, "ok", "{algorithm}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_answered_from_a_closed_set_and_repeats_nothing() {
    let issuer = Issuer::start().await;
    let callers = callers_of(&issuer);
    let key = issuer.newest_key();
    let (valid, stranger) = (issuer.token(&json!({})), SigningKey::es256());
    let [header, claims, signature] = valid.split('.').collect::<Vec<_>>().try_into().unwrap();
    let with = |members: serde_json::Value| {
        let mut header = key.header();
        header
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        key.sign(&header, &claims)
    };
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let deep = format!(
        r#"{{"iss":"{}","sub":"a","exp":9e9,"aud":{}1{}}}"#,
        issuer.url,
        "[".repeat(2000),
        "]".repeat(2000)
    );
    let twice = format!(
        r#"{{"iss":"x","iss":"{}","sub":"a","exp":9e9,"aud":"the-api"}}"#,
        issuer.url
    );
    let twice_unknown = twice.replace(r#""iss":"x","#, r#""x":1,"x":1,"#);
    let array = json!([issuer.url, "a", 9e9, null, null, "the-api"]).to_string();
    let header_array = encode(&json!(["ES256", key.header()["kid"], null]).to_string());
    let header_twice = encode(r#"{"alg":"ES256","x":1,"x":1}"#);
    let hmac = format!("{}.{claims}", encode(r#"{"alg":"HS256"}"#));
    for (token, expected) in [
        (String::new(), "token-malformed"),
        ("..".to_owned(), "token-malformed"),
        (format!("{header}.{claims}"), "token-malformed"),
        (format!("{valid}."), "token-malformed"),
        (
            format!("{header}.{claims}.{signature}.{signature}.{signature}"),
            "token-malformed",
        ),
        (format!("{header}.{claims}.{signature}="), "token-malformed"),
        (format!(" {valid}"), "token-malformed"),
        (format!("{header}.{}.{signature}", encode(&deep)), "token-malformed"),
        (format!("{header}.{}.{signature}", encode(&twice)), "token-malformed"),
        (format!("{header}.{}.{signature}", encode("[]")), "token-malformed"),
        (
            format!("{header}.{}.{signature}", encode(&twice_unknown)),
            "token-malformed",
        ),
        (format!("{header}.{}.{signature}", encode(&array)), "token-malformed"),
        (format!("{header_array}.{claims}.{signature}"), "token-malformed"),
        (format!("{header_twice}.{claims}.{signature}"), "token-malformed"),
        (with(json!({"typ": null})), "token-malformed"),
        (with(json!({"kid": null})), "token-malformed"),
        (issuer.token(&json!({"nbf": "0"})), "token-malformed"),
        (with(json!({"crit": ["exp"]})), "token-malformed"),
        (with(json!({"crit": null})), "token-malformed"),
        (with(json!({"b64": false, "crit": ["b64"]})), "token-malformed"),
        (with(json!({"typ": "logout+jwt"})), "token-malformed"),
        (with(json!({"typ": 1})), "token-malformed"),
        (with(json!({"kid": 1})), "token-malformed"),
        (issuer.token(&json!({"exp": null})), "token-malformed"),
        (issuer.token(&json!({"exp": "9999999999"})), "token-malformed"),
        (issuer.token(&json!({"sub": null})), "token-malformed"),
        (issuer.token(&json!({"iss": [issuer.url]})), "token-malformed"),
        (issuer.token(&json!({"text": "x".repeat(8192)})), "token-malformed"),
        (issuer.token(&json!({"exp": 1})), "token-expired"),
        (issuer.token(&json!({"nbf": 9_999_999_999_u64})), "token-not-yet-valid"),
        (
            issuer.token(&json!({"iss": format!("{}/", issuer.url)})),
            "issuer-unknown",
        ),
        (issuer.token(&json!({"aud": "another-api"})), "audience-wrong"),
        (issuer.token(&json!({"aud": null})), "audience-wrong"),
        (format!("{hmac}.{signature}"), "signature-wrong"),
        (format!("{}.{claims}.", encode(r#"{"alg":"none"}"#)), "signature-wrong"),
        (format!("{header}.{claims}."), "signature-wrong"),
        (
            format!("{header}.{}.{signature}", encode(&twice.replace(r#""iss":"x","#, ""))),
            "signature-wrong",
        ),
        (with(json!({"alg": "ES384"})), "signature-wrong"),
        (
            stranger.sign(&key.header(), &json!({"iss": issuer.url, "sub": "a", "exp": 9e9})),
            "signature-wrong",
        ),
        (
            stranger.sign(&stranger.header(), &json!({"iss": issuer.url, "sub": "a", "exp": 9e9})),
            "key-unknown",
        ),
        (with(json!({"alg": "RS256"})), "key-unknown"),
        (
            with(json!({"jwk": stranger.public(), "jku": issuer.keys_url(), "typ": "JWT"})),
            "ok",
        ),
        (with(json!({"typ": "application/AT+JWT"})), "ok"),
        (
            issuer.token(&json!({"scope": ["a"], "azp": 1, "gty": [], "email": {}})),
            "ok",
        ),
    ] {
        let answer = ask(&callers, &token).await;
        assert_eq!(answer, expected, "{token}");
        if answer == "ok" {
            continue;
        }
        let (status, challenge, _, body) = seen(&callers, &token).await;
        assert_eq!((status, challenge.as_str()), (401, r#"Bearer error="invalid_token""#));
        let repeats =
            body.contains(&issuer.url) || body.contains("alice") || (token.len() > 9 && body.contains(&token));
        assert!(!repeats, "{body}");
    }
    assert_eq!(ask(&callers, &valid).await, "ok");
    assert!(issuer.fetches() <= 2, "{}", issuer.fetches());
}

#[tokio::test]
async fn one_issuer_does_not_speak_for_another() {
    let (first, second) = (Issuer::start().await, Issuer::start().await);
    let both = |issuer: &Issuer| serde_json::from_str::<Vec<serde_json::Value>>(&issuer.settings()).unwrap();
    let callers = callers(json!([both(&first)[0], both(&second)[0]]).to_string());
    assert_eq!(ask(&callers, &first.token(&json!({}))).await, "ok");
    assert_eq!(ask(&callers, &second.token(&json!({}))).await, "ok");
    assert_eq!(
        ask(&callers, &first.token(&json!({"iss": second.url}))).await,
        "key-unknown"
    );
}

#[tokio::test]
async fn without_settings_every_token_is_of_an_unknown_issuer() {
    let issuer = Issuer::start().await;
    assert_eq!(
        ask(&callers(String::new()), &issuer.token(&json!({}))).await,
        "issuer-unknown"
    );
    assert_eq!(issuer.fetches(), 0);
}
