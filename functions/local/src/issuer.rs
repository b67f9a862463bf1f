//! The issuer of tokens in `local`. It signs with a key that this checkout alone has, and the functions verify its tokens as
//! they verify those of a provider, so that development needs no other rules.

mod key;
mod pages;

use crate::commands::LocalFolder;
use key::Key;
pub use pages::service;
use serde_json::{Value, json};
use shared::config::Env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name in `iss`. It is the same on every `PORT`, so that each `local` of a checkout takes the tokens of every other;
/// functions get the key itself, and need not ask this address.
const ISSUER: &str = "http://127.0.0.1:9000";

/// The client that users have. No subject has spaces, so that none is taken for this client.
const CLIENT: &str = "cargo run -- token";

/// The variable that names the issuers whose tokens a function takes.
pub const SETTING: &str = "TOKEN_ISSUERS";

/// The longest token that a function reads, in bytes.
const LONGEST: usize = 8 << 10;

/// The issuer of a checkout.
pub struct Issuer {
    key: Key,
}

/// What a token says of its bearer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claims {
    /// The subject, `sub`.
    pub subject: String,
    /// A verified address, `email`.
    pub email: Option<String>,
    /// Scopes separated by spaces, `scope` (RFC 8693, section 4.2).
    pub scope: Option<String>,
    /// The time until `exp`.
    pub ttl: Duration,
    /// A program on its own behalf, and no user: its own client (RFC 9068, section 2.2).
    pub is_service: bool,
}

impl Issuer {
    /// Reads the key of a checkout. The first call makes it.
    ///
    /// # Errors
    /// One sentence for the person at the terminal: the key is not a valid one, or another user may know it.
    pub fn open(folder: &LocalFolder) -> Result<Self, String> {
        let key = Key::open(&folder.key()?)?;
        Ok(Self { key })
    }

    /// An issuer whose key no file has, so that nobody takes its tokens.
    pub fn of_nobody() -> Self {
        Self { key: Key::new() }
    }

    /// A token, as RFC 9068 has them: signed, and not encrypted.
    ///
    /// # Errors
    /// It is longer than functions read.
    pub fn token(&self, claims: &Claims) -> Result<String, String> {
        let header = json!({"alg": key::ALGORITHM, "kid": self.key.id(), "typ": "at+jwt"});
        let token = self.key.signed(&header, &payload(claims, SystemTime::now()));
        if token.len() > LONGEST {
            return Err(format!(
                "the token has {} bytes, and functions read {LONGEST}",
                token.len()
            ));
        }
        Ok(token)
    }

    /// Its public key, as a set (RFC 7517, section 5).
    pub fn key_set(&self) -> Value {
        json!({"keys": [self.key.public()]})
    }

    /// The value of `TOKEN_ISSUERS` with this issuer beside those of an environment. The key stands in the value: a function
    /// takes the tokens also while no `local` runs. Without a space, so that a shell takes it for one word.
    ///
    /// # Errors
    /// The value in the environment is not a JSON array.
    pub fn beside(&self, env: &Env) -> Result<String, String> {
        let others = env.text(SETTING).unwrap_or_else(|| "[]".to_owned());
        let others: Vec<Value> =
            serde_json::from_str(&others).map_err(|_| format!("{SETTING} must be a JSON array"))?;
        // The environment may have this issuer already, with an older key.
        let others = others.into_iter().filter(|issuer| issuer["issuer"] != ISSUER);
        let issuers: Vec<Value> = others.chain([self.setting()]).collect();
        // In compact JSON, spaces stand in strings only.
        Ok(Value::from(issuers).to_string().replace(' ', r"\u0020"))
    }

    fn setting(&self) -> Value {
        json!({
            "issuer": ISSUER,
            "audience": shared::BUNDLE,
            "algorithms": [key::ALGORITHM],
            "jwks": self.key_set(),
        })
    }
}

fn payload(claims: &Claims, now: SystemTime) -> Value {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut payload = json!({
        "iss": ISSUER,
        "sub": claims.subject,
        "aud": shared::BUNDLE,
        "client_id": if claims.is_service { claims.subject.as_str() } else { CLIENT },
        "iat": now,
        "exp": now + claims.ttl.as_secs(),
        "jti": key::random_id(),
    });
    if let Some(scope) = &claims.scope {
        payload["scope"] = json!(scope);
    }
    if let Some(email) = &claims.email {
        payload["email"] = json!(email);
        payload["email_verified"] = json!(true);
    }
    payload
}

#[cfg(test)]
mod tests;
