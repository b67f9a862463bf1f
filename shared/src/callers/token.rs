//! A token as it was sent: a JWS in compact form (RFC 7515, section 7.1) with claims that nobody has verified yet.

use super::{
    algorithm::Algorithm,
    json::{self, Object},
    problem::{SIGNATURE_WRONG, TOKEN_MALFORMED},
    refusal::Refusal,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
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
pub(super) struct Header {
    pub alg: String,
    pub kid: Option<String>,
    typ: Option<String>,
    is_critical: bool,
}

/// RFC 7519, section 4.1. A claim that is here has its type, or the token is malformed.
pub(super) struct Claims {
    pub iss: String,
    pub sub: String,
    /// Times are seconds since 1970, and may have fractions.
    pub exp: f64,
    pub nbf: Option<f64>,
    pub iat: Option<f64>,
    others: Object,
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
        let header = Header::new(object(header)?)?;
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
        let claims = object(self.payload).and_then(Claims::new);
        claims.ok_or(TOKEN_MALFORMED.into())
    }
}

impl Claims {
    pub fn new(mut all: Object) -> Option<Self> {
        Some(Self {
            iss: text(&mut all, "iss")??,
            sub: text(&mut all, "sub")??,
            exp: number(&all, "exp")??,
            nbf: number(&all, "nbf")?,
            iat: number(&all, "iat")?,
            others: all,
        })
    }

    /// A claim that says nothing if it is not a text: a provider may give the name another meaning.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.others.get(name)?.as_str()
    }

    /// The texts of a claim that is one text or several.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let all = match self.others.get(name) {
            Some(Value::Array(all)) => all,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        all.iter().filter_map(Value::as_str)
    }

    /// A flag, which Cognito writes as a text.
    pub fn is_true(&self, name: &str) -> bool {
        self.others.get(name).is_some_and(|flag| flag == true || flag == "true")
    }
}

impl Header {
    fn new(mut all: Object) -> Option<Self> {
        Some(Self {
            is_critical: all.contains_key("crit"),
            alg: text(&mut all, "alg")??,
            kid: text(&mut all, "kid")?,
            typ: text(&mut all, "typ")?,
        })
    }

    /// No extension is understood here, so none may be critical. A type keeps tokens of other kinds out, such as those of a
    /// logout (RFC 8725, section 3.11).
    fn is_usable(&self) -> bool {
        let is_access_token = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
        };
        !self.is_critical && self.typ.as_deref().is_none_or(is_access_token)
    }

    /// # Errors
    /// [`SIGNATURE_WRONG`]: the algorithm is none of these.
    pub fn algorithm(&self, accepted: &[Algorithm]) -> Result<Algorithm, Refusal> {
        let algorithm = Algorithm::named(&self.alg);
        let algorithm = algorithm.filter(|algorithm| accepted.contains(algorithm));
        algorithm.ok_or(SIGNATURE_WRONG.into())
    }
}

fn object(part: &str) -> Option<Object> {
    json::object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// `None`: the member is there, and is not a text. `null` is a value (RFC 8259, section 3).
fn text(all: &mut Object, name: &str) -> Option<Option<String>> {
    match all.remove(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// As [`text`], for a number.
fn number(all: &Object, name: &str) -> Option<Option<f64>> {
    all.get(name).map_or(Some(None), |value| value.as_f64().map(Some))
}
