//! A token as it was sent: a JWS in compact form (RFC 7515, section 7.1) with claims that nobody has verified yet.

use super::{
    algorithm::Algorithm,
    problem::{SIGNATURE_WRONG, TOKEN_MALFORMED},
    refusal::Refusal,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;

/// The most bytes that a token may have. Real ones have 1 to 3 KiB, and no more fits into a header in many places.
pub(super) const MAX_LENGTH: usize = 8 * 1024;

pub(super) struct Token<'a> {
    pub header: Header,
    /// What is signed.
    pub message: &'a [u8],
    pub signature: Vec<u8>,
    payload: &'a str,
}

/// RFC 7515, section 4.1. Places where a key might be are not among them: a token must not bring its key.
#[derive(Deserialize)]
pub(super) struct Header {
    pub alg: String,
    pub kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// RFC 7519, section 4.1; RFC 9068, section 2.2; and what providers have in their place.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    pub sub: String,
    /// Times are seconds since 1970, and may have fractions.
    pub exp: f64,
    pub nbf: Option<f64>,
    pub iat: Option<f64>,
    /// One text or several.
    #[serde(default)]
    pub aud: Value,
    pub azp: Option<String>,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    /// `scope` of Entra, as one text, and of Okta, as several.
    #[serde(default)]
    pub scp: Value,
    pub email: Option<String>,
    /// A text at Cognito.
    #[serde(default)]
    pub email_verified: Value,
    /// `client-credentials` at Auth0.
    pub gty: Option<String>,
    /// `app` at Entra.
    pub idtyp: Option<String>,
    pub preferred_username: Option<String>,
}

impl<'a> Token<'a> {
    /// # Errors
    /// [`TOKEN_MALFORMED`].
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_LENGTH {
            return Err(TOKEN_MALFORMED.into());
        }
        Self::split(text).ok_or(TOKEN_MALFORMED.into())
    }

    fn split(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        // An encrypted token has five parts, and a point is not base64.
        let (header, payload) = message.split_once('.')?;
        let header: Header = json(header)?;
        header.is_usable().then_some(())?;
        Some(Self {
            header,
            message: message.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            payload,
        })
    }

    /// # Errors
    /// [`TOKEN_MALFORMED`].
    pub fn claims(&self) -> Result<Claims, Refusal> {
        json(self.payload).ok_or(TOKEN_MALFORMED.into())
    }
}

impl Header {
    /// No extension is understood here, so none may be critical. A type keeps tokens of other kinds out, such as those of a
    /// logout (RFC 8725, section 3.11).
    fn is_usable(&self) -> bool {
        let is_access_token = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
        };
        !self.crit && self.typ.as_deref().is_none_or(is_access_token)
    }

    /// # Errors
    /// [`SIGNATURE_WRONG`]: the algorithm is none of these.
    pub fn algorithm(&self, accepted: &[Algorithm]) -> Result<Algorithm, Refusal> {
        let algorithm = Algorithm::named(&self.alg);
        let algorithm = algorithm.filter(|algorithm| accepted.contains(algorithm));
        algorithm.ok_or(SIGNATURE_WRONG.into())
    }
}

/// A member that is there twice is an error: two readers might each take another.
fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Whatever the value is, `null` included.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// The texts of a claim that is one text or several.
pub(super) fn texts(claim: &Value) -> impl Iterator<Item = &str> {
    let all = claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice);
    all.iter().filter_map(Value::as_str)
}
