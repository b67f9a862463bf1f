//! Where keys come from: the settings, or an issuer over HTTPS.

use super::{
    algorithm::Algorithm,
    json::{self, Object},
    key::Key,
    key_set::KeySet,
    settings::{Issuer, Source},
    url,
};
use crate::{BUNDLE, causes::causes, https};
use axum::BoxError;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    header::{ACCEPT, AGE, CACHE_CONTROL, USER_AGENT},
};
use serde_json::Value;
use std::{ops::RangeInclusive, sync::Arc, time::Duration};

/// The largest key set or document that is read. Real ones have some KiB; ten keys with their certificates have 30.
const MAX_LENGTH: usize = 256 * 1024;
/// How long keys may be used, in seconds: an issuer that says less would be asked for each request, and one that says more
/// could not withdraw a key.
const AGES: RangeInclusive<u64> = 5 * 60..=24 * 60 * 60;
/// The age for an issuer that says nothing, in seconds.
const DEFAULT_AGE: u64 = 15 * 60;

/// A source of keys.
pub(super) trait Fetch: Send + Sync {
    /// Fetches the keys, from this URL if it is known.
    fn fetch(&self, url: Option<Uri>) -> BoxFuture<'static, Result<Fetched, BoxError>>;
}

#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub keys: Arc<KeySet>,
    /// Where they were; `None` if in the settings.
    pub url: Option<Uri>,
    /// How long they may be used without asking again.
    pub max_age: Duration,
}

impl Fetch for Issuer {
    fn fetch(&self, known: Option<Uri>) -> BoxFuture<'static, Result<Fetched, BoxError>> {
        Box::pin(fetch(self.source.clone(), self.algorithms.clone(), known))
    }
}

/// The client is new each time: fetches are minutes apart, and after a freeze, connections are dead.
async fn fetch(source: Source, algorithms: Vec<Algorithm>, known: Option<Uri>) -> Result<Fetched, BoxError> {
    let client = https::Client::default();
    match (source, known) {
        (Source::Inline(keys), _) => Ok(Fetched {
            keys,
            url: None,
            max_age: Duration::MAX,
        }),
        (Source::Url(url), _) | (_, Some(url)) => key_set(&client, url, &algorithms).await,
        (Source::Discovery { document, issuer }, None) => {
            let url = discover(&client, document, &issuer).await?;
            key_set(&client, url, &algorithms).await
        }
    }
}

async fn discover(client: &https::Client, url: Uri, issuer: &str) -> Result<Uri, BoxError> {
    let (_, document) = get(client, url).await?;
    // Or one issuer could sign for another (OpenID Connect Discovery 1.0, section 4.3).
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err("the issuer's document is that of another issuer".into());
    }
    let keys = document.get("jwks_uri").and_then(Value::as_str);
    keys.and_then(url::url)
        .ok_or("the keys are not at an https:// URL".into())
}

async fn key_set(client: &https::Client, url: Uri, algorithms: &[Algorithm]) -> Result<Fetched, BoxError> {
    let (headers, set) = get(client, url.clone()).await?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or("the key set has no array of keys")?;
    // An issuer may publish keys for other purposes.
    let fits = |key: &Key| algorithms.iter().any(|algorithm| key.fits(*algorithm, None));
    let keys: KeySet = keys.iter().filter_map(Key::from_json).filter(fits).collect();
    // One that can verify is enough, which keeps a set of a thousand keys cheap.
    if !keys.keys().iter().any(Key::is_sound) {
        return Err("the key set has no key that tokens may be signed with".into());
    }
    Ok(Fetched {
        keys: Arc::new(keys),
        url: Some(url),
        max_age: max_age(&headers),
    })
}

/// Follows no redirect: it would lead the search for keys elsewhere.
async fn get(client: &https::Client, url: Uri) -> Result<(HeaderMap, Object), BoxError> {
    let request = Request::get(url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, BUNDLE)
        .body(Bytes::new())?;
    let (head, body) = client.fetch(request, MAX_LENGTH).await.map_err(whole)?.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("the issuer answers {}", head.status.as_u16()).into());
    }
    let parsed = json::object(&body);
    // The position is enough: the message could repeat a value.
    let parsed = parsed.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("the issuer's answer is not a JSON object in which no member is there twice, at line {line}, column {column}")
    });
    Ok((head.headers, parsed?))
}

/// An error with its causes, the outermost first.
fn whole(error: BoxError) -> BoxError {
    let all: Vec<String> = causes(&*error).map(ToString::to_string).collect();
    all.join(": ").into()
}

/// How long the answer is fresh (RFC 9111, section 4.2).
fn max_age(headers: &HeaderMap) -> Duration {
    let values = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let directives: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    let seconds = |text: &str| text.trim_matches('"').parse::<u64>().ok();
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(seconds);
    let stated = directives
        .iter()
        .find_map(|one| one.strip_prefix("max-age=").and_then(seconds));
    let fresh = if directives
        .iter()
        .any(|one| one == "no-store" || one.starts_with("no-cache"))
    {
        0
    } else {
        stated.map_or(DEFAULT_AGE, |stated| stated.saturating_sub(age.unwrap_or(0)))
    };
    Duration::from_secs(fresh.clamp(*AGES.start(), *AGES.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fresh_for_as_long_as_the_issuer_says_within_bounds() {
        let seconds = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            max_age(&HeaderMap::from_iter(pairs)).as_secs()
        };
        for (cache_control, expected) in [
            ("public, max-age=3600, must-revalidate", 3600),
            ("MAX-AGE=\"600\"", 600),
            ("max-age=1", 300),
            ("max-age=99999999999", 24 * 3600),
            ("max-age=999999999999999999999999", 900),
            ("max-age=-1", 900),
            ("s-maxage=3600", 900),
            ("no-store, max-age=3600", 300),
            ("no-cache", 300),
            ("", 900),
        ] {
            assert_eq!(
                seconds(&[("cache-control", cache_control)]),
                expected,
                "{cache_control}"
            );
        }
        assert_eq!(seconds(&[]), 900);
        assert_eq!(seconds(&[("cache-control", "max-age=3600"), ("age", "600")]), 3000);
        assert_eq!(seconds(&[("cache-control", "max-age=3600"), ("age", "9999")]), 300);
        assert_eq!(seconds(&[("cache-control", "max-age=3600"), ("age", "-9")]), 3600);
    }
}
