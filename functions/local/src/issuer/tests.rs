//! The key, its tokens, and the settings that take them.

use super::*;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    thread,
};

fn env(folder: &Path, issuers: &'static str) -> Env {
    let package = folder.join("functions/local").to_string_lossy().into_owned();
    Env::new(move |key| match key {
        "CARGO_MANIFEST_DIR" => Some(package.clone()),
        SETTING => Some(issuers.to_owned()),
        _ => None,
    })
}

fn open(folder: &Path) -> Result<Issuer, String> {
    Issuer::open(&LocalFolder::from_env(&env(folder, "")))
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

fn alice() -> Claims {
    Claims {
        subject: "alice".to_owned(),
        email: Some("alice@example.com".to_owned()),
        scope: Some("streams:read:cases/".to_owned()),
        ttl: Duration::from_secs(60),
        is_service: false,
    }
}

#[test]
fn a_token_says_who_and_its_signature_is_that_of_the_published_key() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = open(folder.path()).unwrap();
    let token = issuer.token(&alice()).unwrap();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let key = &issuer.key_set()["keys"][0];
    assert_eq!(
        decoded(header),
        json!({"alg": "ES256", "kid": key["kid"], "typ": "at+jwt"})
    );
    let payload = decoded(payload);
    assert_eq!(payload["exp"].as_u64().unwrap() - payload["iat"].as_u64().unwrap(), 60);
    let said = ["iss", "sub", "aud", "scope", "email", "email_verified"].map(|name| payload[name].clone());
    let expected = [
        json!(ISSUER),
        json!("alice"),
        json!(shared::BUNDLE),
        json!("streams:read:cases/"),
        json!("alice@example.com"),
        json!(true),
    ];
    assert_eq!(said, expected);
    let coordinate = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let signed = token.rsplit_once('.').unwrap().0.as_bytes();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed, &BASE64.decode(signature).unwrap())
        .unwrap();
}

#[test]
fn two_starts_at_once_make_one_key_that_only_its_owner_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = || open(folder.path()).unwrap().key.id();
    let ids: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let entries: Vec<_> = fs::read_dir(folder.path().join(".local")).unwrap().flatten().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].metadata().unwrap().mode() & 0o777, 0o600);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(self::open(elsewhere.path()).unwrap().key.id(), ids[0]);
}

#[test]
fn a_key_that_others_may_know_or_that_is_invalid_is_refused_with_what_to_do() {
    type Spoil = fn(&Path);
    let spoiled: [(Spoil, &str); 4] = [
        (
            |key| fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap(),
            "others can read",
        ),
        (
            |key| fs::write(key, "key").unwrap(),
            "is not a key of `local`: delete it",
        ),
        (
            |key| {
                fs::rename(key, key.with_extension("moved")).unwrap();
                symlink(key.with_extension("moved"), key).unwrap();
            },
            "cannot use the key",
        ),
        (
            |key| {
                let local = key.parent().unwrap();
                fs::rename(local, local.with_file_name("elsewhere")).unwrap();
                symlink(local.with_file_name("elsewhere"), local).unwrap();
            },
            "is not a folder but a link",
        ),
    ];
    for (spoil, why) in spoiled {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap();
        spoil(&LocalFolder::from_env(&env(folder.path(), "")).key().unwrap());
        let refused = open(folder.path()).err().unwrap();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_start_that_failed_while_it_wrote_the_key_does_not_harm_the_next() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap();
    let key = LocalFolder::from_env(&env(folder.path(), "")).key().unwrap();
    fs::write(&key, "").unwrap();
    open(folder.path()).unwrap();
    assert!(fs::metadata(&key).unwrap().len() > 0);
}

#[test]
fn a_token_that_no_function_would_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Some("a".repeat(LONGEST));
    let refused = open(folder.path()).unwrap().token(&Claims { scope, ..alice() });
    assert!(refused.unwrap_err().contains("functions read 8192"));
}

#[test]
fn the_issuers_of_the_environment_stay_and_an_older_key_of_this_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = open(folder.path()).unwrap();
    let theirs = r#" [ {"issuer": "https://a.example"}, {"issuer": "http://127.0.0.1:9000", "jwks": {}} ] "#;
    let value = issuer.beside(&env(folder.path(), theirs)).unwrap();
    assert!(!value.contains(char::is_whitespace), "{value}");
    let issuers: Vec<Value> = serde_json::from_str(&value).unwrap();
    assert_eq!(issuers, [json!({"issuer": "https://a.example"}), issuer.setting()]);
    for invalid in ["{}", "https://a.example", "[1"] {
        let refused = issuer.beside(&env(folder.path(), invalid)).unwrap_err();
        assert_eq!(refused, "TOKEN_ISSUERS must be a JSON array");
    }
}
