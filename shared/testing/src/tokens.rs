//! Tokens for tests of functions: an issuer whose key stands in the settings, so that no server is asked. Its key is the same in
//! every test.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// `iss` of its tokens.
pub const ISSUER: &str = "https://issuer.test";

/// `aud` of its tokens.
pub const AUDIENCE: &str = "test";

const KEY_ID: &str = "test";

/// A value of `TOKEN_ISSUERS` that has this issuer alone.
pub fn issuers() -> String {
    let x = BASE64.encode(key().public_key());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": KEY_ID, "alg": "EdDSA", "use": "sig"});
    json!([{"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["EdDSA"], "jwks": {"keys": [key]}}]).to_string()
}

/// A token with these claims. Others are those of a token that is valid for an hour, with the subject `alice` and no scope; a
/// claim that is `null` is left out.
pub fn token(claims: Value) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut payload = json!({"iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "iat": now, "exp": now + 3600});
    if let (Value::Object(payload), Value::Object(claims)) = (&mut payload, claims) {
        payload.extend(claims);
        payload.retain(|_, claim| !claim.is_null());
    }
    signed(&json!({"alg": "EdDSA", "kid": KEY_ID, "typ": "at+jwt"}), &payload)
}

/// A token with any header, which need not fit to its signature.
pub fn signed(header: &Value, payload: &Value) -> String {
    let text = |value: &Value| BASE64.encode(value.to_string());
    let signed = format!("{}.{}", text(header), text(payload));
    let signature = BASE64.encode(key().sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed")
}
