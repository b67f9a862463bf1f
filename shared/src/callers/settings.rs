//! `TOKEN_ISSUERS`: a JSON array of the issuers whose tokens are accepted.

use super::{
    algorithm::Algorithm,
    json::{self, Object},
    key::{self, Key},
    key_set::KeySet,
    url::url,
};
use crate::config::Env;
use hyper::Uri;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

const VARIABLE: &str = "TOKEN_ISSUERS";
const MEMBERS: [&str; 6] = ["issuer", "audience", "audience_claim", "algorithms", "jwks_url", "jwks"];
const AUDIENCE_CLAIMS: [&str; 3] = ["aud", "azp", "client_id"];
const EXPECTED: &str = "a JSON array of objects, one for each issuer, in which no member is there twice";
const URL: &str = "an https:// URL without credentials or fragment (http:// for loopback only)";
const ISSUER: &str = "an https:// URL without credentials, query or fragment (http:// for loopback only)";

/// An issuer whose tokens are accepted.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The claim `iss` of its tokens, to the letter.
    pub name: Arc<str>,
    pub audience: Audience,
    pub algorithms: Vec<Algorithm>,
    pub source: Source,
}

/// For whom tokens must be issued: the claim must have one of these texts.
#[derive(Debug)]
pub(super) struct Audience {
    pub claim: &'static str,
    pub accepted: Vec<String>,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// `jwks`.
    Inline(Arc<KeySet>),
    /// `jwks_url`.
    Url(Uri),
    /// Neither: the address is in the issuer's document (OpenID Connect Discovery 1.0, section 4).
    Discovery { document: Uri, issuer: Arc<str> },
}

/// Reads `TOKEN_ISSUERS`, and reports every mistake with its place.
pub(super) fn from_env(env: &Env) -> Vec<Issuer> {
    let Some(text) = env.text("TOKEN_ISSUERS") else {
        return Vec::new();
    };
    let Some(entries) = entries(&text) else {
        env.refuse_part(VARIABLE.to_owned(), EXPECTED);
        return Vec::new();
    };
    let mut issuers: Vec<Issuer> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = format!("{VARIABLE}[{index}]");
        let Some(issuer) = (Entry {
            env,
            entry,
            place: &place,
        })
        .issuer() else {
            continue;
        };
        if issuers.iter().any(|known| known.name == issuer.name) {
            env.refuse_part(format!("{place}.issuer"), "another one than those before it");
        }
        issuers.push(issuer);
    }
    issuers
}

fn entries(text: &str) -> Option<Vec<Object>> {
    let Ok(Value::Array(entries)) = json::value(text.as_bytes()) else {
        return None;
    };
    let entries = entries.into_iter().map(|entry| match entry {
        Value::Object(entry) => Some(entry),
        _ => None,
    });
    entries.collect()
}

struct Entry<'a> {
    env: &'a Env,
    entry: &'a Object,
    place: &'a str,
}

impl Entry<'_> {
    /// Every member is read before the first mistake counts.
    fn issuer(&self) -> Option<Issuer> {
        if self.entry.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
            let expected = format!("an object with no other members than {}", MEMBERS.join(", "));
            self.env.refuse_part(self.place.to_owned(), expected);
        }
        let name = self.name();
        let (claim, accepted, algorithms) = (self.audience_claim(), self.audience(), self.algorithms());
        let source = self.source(name.as_ref(), algorithms.as_deref());
        Some(Issuer {
            name: name?,
            audience: Audience {
                claim: claim?,
                accepted: accepted?,
            },
            algorithms: algorithms?,
            source: source?,
        })
    }

    fn name(&self) -> Option<Arc<str>> {
        let name = self.entry.get("issuer").and_then(Value::as_str);
        let name = name.filter(|name| url(name).is_some() && !name.contains('?'));
        self.required("issuer", name.map(Arc::from), ISSUER)
    }

    fn audience(&self) -> Option<Vec<String>> {
        let audience = self.entry.get("audience").and_then(texts);
        let audience = audience.filter(|all| all.iter().all(|text| !text.trim().is_empty()));
        self.required(
            "audience",
            audience,
            "a text or an array of texts, none of them empty or blank",
        )
    }

    fn audience_claim(&self) -> Option<&'static str> {
        let Some(value) = self.entry.get("audience_claim") else {
            return Some("aud");
        };
        let claim = AUDIENCE_CLAIMS.into_iter().find(|claim| value == claim);
        self.required("audience_claim", claim, "aud, azp or client_id")
    }

    fn algorithms(&self) -> Option<Vec<Algorithm>> {
        let Some(value) = self.entry.get("algorithms") else {
            return Some(Algorithm::DEFAULT.to_vec());
        };
        let names = value.as_array().filter(|names| !names.is_empty());
        let names = self.required("algorithms", names, "an array of at least one algorithm")?;
        let algorithms = names.iter().enumerate().map(|(index, name)| {
            let algorithm = name.as_str().and_then(Algorithm::named);
            let expected = format!("one of {}", Algorithm::ALL.map(Algorithm::as_str).join(", "));
            self.required(&format!("algorithms[{index}]"), algorithm, expected)
        });
        // All of them, so that each mistake is reported.
        algorithms.collect::<Vec<_>>().into_iter().collect()
    }

    fn source(&self, issuer: Option<&Arc<str>>, algorithms: Option<&[Algorithm]>) -> Option<Source> {
        match (self.entry.get("jwks_url"), self.entry.get("jwks")) {
            (Some(value), None) => {
                let url = value.as_str().and_then(url);
                self.required("jwks_url", url, URL).map(Source::Url)
            }
            (None, Some(value)) => self.inline(value, algorithms),
            (None, None) => {
                let issuer = issuer?;
                let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document = document.parse().ok()?;
                let issuer = Arc::clone(issuer);
                Some(Source::Discovery { document, issuer })
            }
            (Some(_), Some(_)) => self.required("jwks", None, "left out where jwks_url is set"),
        }
    }

    fn inline(&self, value: &Value, algorithms: Option<&[Algorithm]>) -> Option<Source> {
        let keys = value
            .get("keys")
            .and_then(Value::as_array)
            .filter(|keys| !keys.is_empty());
        let keys = self.required("jwks", keys, "a key set: an object with keys, an array of at least one")?;
        let keys = keys.iter().enumerate().map(|(index, json)| {
            let place = format!("jwks.keys[{index}]");
            match Key::from_json(json).filter(|key| fits_one(key, algorithms)) {
                _ if Key::is_private(json) => self.required(&place, None, key::WITHOUT_PRIVATE_PART),
                Some(key) => self.required(&place, key.is_sound().then_some(Some(key)), key::EXPECTED),
                // An issuer may publish keys for other purposes.
                None => Some(None),
            }
        });
        let keys: Option<Vec<_>> = keys.collect::<Vec<_>>().into_iter().collect();
        let keys: KeySet = keys?.into_iter().flatten().collect();
        let keys = Some(keys).filter(|set| !set.keys().is_empty()).map(Arc::new);
        let expected = format!("a key set with {}", key::EXPECTED);
        self.required("jwks", keys, expected).map(Source::Inline)
    }

    /// The value; where there is none, a mistake.
    fn required<T>(&self, member: &str, value: Option<T>, expected: impl Into<Cow<'static, str>>) -> Option<T> {
        if value.is_none() {
            self.env.refuse_part(format!("{}.{member}", self.place), expected);
        }
        value
    }
}

fn fits_one(key: &Key, algorithms: Option<&[Algorithm]>) -> bool {
    algorithms.is_none_or(|all| all.iter().any(|algorithm| key.fits(*algorithm, None)))
}

/// One text, or an array of at least one.
fn texts(value: &Value) -> Option<Vec<String>> {
    let all = match value {
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(all) if !all.is_empty() => all,
        _ => return None,
    };
    all.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
