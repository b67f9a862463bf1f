use super::*;
use crate::callers::{json::Object, key_set::KeySet, settings::Source};
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: u64 = 1_800_000_000;

fn verified(claims: &Value, audience_claim: &'static str) -> Result<Caller, Refusal> {
    let claims = Claims::new(with_usual(claims)).unwrap();
    claims.verify(&issuer(audience_claim), UNIX_EPOCH + Duration::from_secs(NOW))
}

fn with_usual(claims: &Value) -> Object {
    let mut all = json!({"iss": "https://issuer", "sub": "alice", "aud": "api", "exp": NOW + 600});
    let all = all.as_object_mut().unwrap();
    all.extend(claims.as_object().unwrap().clone());
    all.clone()
}

fn issuer(audience_claim: &'static str) -> Issuer {
    Issuer {
        name: "https://issuer".into(),
        audience: Audience {
            claim: audience_claim,
            accepted: vec!["api".to_owned(), "other".to_owned()],
        },
        algorithms: Vec::new(),
        source: Source::Inline(Arc::new(KeySet::from_iter([]))),
    }
}

/// `ok`, or the slug and the seconds of a wrong clock.
fn answer(claims: &Value) -> (&'static str, u64) {
    match verified(claims, "aud") {
        Ok(_) => ("ok", 0),
        Err(Refusal::Token(kind)) => (kind.slug, 0),
        Err(Refusal::Time(kind, seconds)) => (kind.slug, seconds),
        Err(Refusal::Unavailable(_)) => unreachable!("there is no fetch"),
    }
}

#[test]
fn times_count_with_a_skew_of_a_minute_and_a_wrong_clock_is_measured() {
    for (claims, expected) in [
        (json!({"exp": NOW - 59}), ("ok", 0)),
        (json!({"exp": NOW - 60}), ("token-expired", 60)),
        (json!({"exp": NOW - 600}), ("token-expired", 600)),
        (json!({"exp": 0}), ("token-expired", NOW)),
        (json!({"nbf": NOW + 60}), ("ok", 0)),
        (json!({"nbf": NOW + 61}), ("token-not-yet-valid", 61)),
        (json!({"iat": NOW + 600}), ("token-not-yet-valid", 600)),
        (json!({"iat": NOW as f64 + 59.5}), ("ok", 0)),
        (json!({"exp": NOW as f64 - 59.5}), ("ok", 0)),
        (json!({"exp": -1}), ("token-malformed", 0)),
        (json!({"exp": 1e300}), ("token-malformed", 0)),
        (json!({"exp": u64::MAX}), ("token-malformed", 0)),
        (json!({"exp": 253_402_300_799_u64}), ("ok", 0)),
        (json!({"nbf": 1e18}), ("token-malformed", 0)),
        (json!({"sub": ""}), ("token-malformed", 0)),
    ] {
        assert_eq!(answer(&claims), expected, "{claims}");
    }
}

#[test]
fn a_time_or_a_name_of_another_type_is_malformed() {
    for claim in ["iss", "sub", "exp", "nbf", "iat"] {
        for value in [json!(null), json!(true), json!([1]), json!({}), json!([])] {
            assert!(
                Claims::new(with_usual(&json!({claim: value}))).is_none(),
                "{claim}: {value}"
            );
        }
    }
}

/// A provider may give such a name another meaning, or another shape.
#[test]
fn a_claim_that_decides_nothing_may_have_any_type() {
    for value in [json!(null), json!(1), json!(true), json!(["app"]), json!({"a": "app"})] {
        for claim in [
            "azp",
            "client_id",
            "email",
            "email_verified",
            "gty",
            "idtyp",
            "preferred_username",
            "scope",
            "scp",
            "jti",
        ] {
            let caller = verified(&json!({claim: value}), "aud").unwrap();
            assert_eq!((caller.kind(), caller.email()), (Kind::User, None), "{claim}: {value}");
            let words = caller.scopes().count();
            assert_eq!(
                words,
                usize::from(claim.starts_with("sc") && value.is_array()),
                "{claim}: {value}"
            );
        }
    }
}

#[test]
fn a_token_is_for_this_api_or_for_no_one_here() {
    for (claims, claim, expected) in [
        (json!({}), "aud", true),
        (json!({"aud": ["x", "other"]}), "aud", true),
        (json!({"aud": "API"}), "aud", false),
        (json!({"aud": []}), "aud", false),
        (json!({"aud": null}), "aud", false),
        (json!({"aud": 1}), "aud", false),
        (json!({"aud": {"api": "api"}}), "aud", false),
        (json!({"aud": "x", "client_id": "api", "azp": "api"}), "aud", false),
        (json!({"aud": "api"}), "client_id", false),
        (json!({"client_id": "api"}), "client_id", true),
        (json!({"azp": "api"}), "azp", true),
        (json!({"azp": "x"}), "azp", false),
        (json!({"azp": ["api"]}), "azp", false),
        (json!({"client_id": 1}), "client_id", false),
        (json!({"client_id": null}), "client_id", false),
    ] {
        let answer = verified(&claims, claim);
        assert_eq!(answer.is_ok(), expected, "{claims}");
        if let Err(refusal) = answer {
            assert!(matches!(refusal, Refusal::Token(kind) if kind == AUDIENCE_WRONG));
        }
    }
}

#[test]
fn scopes_are_words_whatever_claim_the_provider_puts_them_in() {
    for claims in [
        json!({"scope": "a b:c/"}),
        json!({"scp": "a b:c/"}),
        json!({"scp": ["a", "b:c/"]}),
        json!({"scope": ["a", "b:c/"]}),
        json!({"scope": ["a", 1, null, "b:c/"]}),
        json!({"scope": "a", "scp": ["b:c/"]}),
    ] {
        let caller = verified(&claims, "aud").unwrap();
        assert_eq!(caller.scopes().collect::<Vec<_>>(), ["a", "b:c/"], "{claims}");
    }
    assert_eq!(verified(&json!({}), "aud").unwrap().scopes().count(), 0);
}

#[test]
fn an_email_counts_only_where_the_issuer_has_verified_it() {
    for (flag, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(1), false),
        (json!(null), false),
    ] {
        let caller = verified(&json!({"email": "a@b.example", "email_verified": flag}), "aud").unwrap();
        assert_eq!(caller.email().is_some(), expected, "{flag}");
    }
    let caller = verified(&json!({"email": "a@b.example"}), "aud").unwrap();
    assert_eq!(caller.email(), None);
}

#[test]
fn a_service_is_told_from_a_user_as_each_provider_says_it() {
    for (claims, expected) in [
        (json!({}), Kind::User),
        (json!({"client_id": "app", "azp": "app"}), Kind::User),
        (
            json!({"preferred_username": "service-account-app", "azp": "other"}),
            Kind::User,
        ),
        (
            json!({"iss": GOOGLE, "email": "a@gserviceaccount.com.example", "email_verified": true}),
            Kind::User,
        ),
        (
            json!({"iss": GOOGLE, "email": "a@b.iam.gserviceaccount.com"}),
            Kind::User,
        ),
        (
            json!({"email": "a@b.iam.gserviceaccount.com", "email_verified": true}),
            Kind::User,
        ),
        (json!({"oid": "alice"}), Kind::User),
        (
            json!({"iss": "https://login.microsoftonline.com/t/v2.0", "oid": "bob"}),
            Kind::User,
        ),
        (
            json!({"iss": "https://login.microsoftonline.com/t/v2.0", "oid": "alice"}),
            Kind::Service,
        ),
        (json!({"cid": "app"}), Kind::User),
        (json!({"cid": "alice"}), Kind::Service),
        (json!({"sub": "app@clients.example"}), Kind::User),
        (json!({"sub": "app@clients"}), Kind::Service),
        (
            json!({"preferred_username": "service-account-app", "azp": "App"}),
            Kind::Service,
        ),
        (json!({"client_id": "alice"}), Kind::Service),
        (json!({"azp": "alice"}), Kind::Service),
        (json!({"gty": "client-credentials"}), Kind::Service),
        (json!({"idtyp": "app"}), Kind::Service),
        (
            json!({"preferred_username": "service-account-app", "azp": "app"}),
            Kind::Service,
        ),
        (
            json!({"iss": GOOGLE, "email": "a@b.iam.gserviceaccount.com", "email_verified": true}),
            Kind::Service,
        ),
    ] {
        assert_eq!(verified(&claims, "aud").unwrap().kind(), expected, "{claims}");
    }
}

#[test]
fn a_caller_ends_with_its_token_the_skew_included() {
    let caller = verified(&json!({"exp": NOW + 100}), "aud").unwrap();
    assert_eq!(caller.expires(), Some(UNIX_EPOCH + Duration::from_secs(NOW + 160)));
    assert_eq!((caller.issuer(), caller.subject()), ("https://issuer", "alice"));
}
