//! Tokens for tests of functions: an issuer whose key stands in the settings, so that no server is asked.

use crate::issuer::SigningKey;
use serde_json::{Value, json};
use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// `iss` of its tokens.
pub const ISSUER: &str = "https://issuer.test";

/// `aud` of its tokens.
pub const AUDIENCE: &str = "test";

static KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::es256);

/// A value of `TOKEN_ISSUERS` that has this issuer alone.
pub fn issuers() -> String {
    json!([{"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"keys": [KEY.public()]}}]).to_string()
}

/// A token of `alice` that is valid for an hour, without a scope.
pub fn valid() -> String {
    token(json!({}))
}

/// A token with these claims. Others are those of [`valid`]; a claim that is `null` is left out.
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
    KEY.sign(&KEY.header(), &payload)
}

/// A token with any header, which need not fit to its signature.
pub fn signed(header: &Value, payload: &Value) -> String {
    KEY.sign(header, payload)
}
