//! Rules about who may call: the issuers of tokens, cookies, and what routes say.

use super::{Limits, declared::Declared};
use crate::deployment::{Deployed, Deployment, Platform};
use axum::http::Uri;
use serde_json::Value;
use std::net::IpAddr;

/// The settings that these rules look at.
pub const SETTINGS: [&str; 3] = ["CORS_ORIGINS", ISSUERS, COOKIE];

const ISSUERS: &str = "TOKEN_ISSUERS";
const COOKIE: &str = "TOKEN_COOKIE";

/// Issuers whose tokens count, whatever they were made for.
pub fn name_no_audience(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let is_named = |audience: &Value| audience.as_str().is_some_and(|name| !name.trim().is_empty());
    let broken = |issuer: &Value| match &issuer["audience"] {
        Value::Array(names) => names.is_empty() || !names.iter().all(is_named),
        audience => !is_named(audience),
    };
    issuers(deployment, |issuer| broken(issuer).then_some("audience is unset"))
}

/// Issuers whose keys come from whoever is on the way.
pub fn are_asked_over_http(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    issuers(deployment, |issuer| {
        let is_unsafe = |name: &str| issuer[name].as_str().is_some_and(|url| !is_safe(url));
        match (is_unsafe("issuer"), is_unsafe("jwks_url")) {
            (true, _) => Some("issuer is not an https URL"),
            (_, true) => Some("jwks_url is not an https URL"),
            _ => None,
        }
    })
}

/// Each function's issuers with something wrong, by their numbers. A value that stands elsewhere is not looked at.
fn issuers(deployment: &Deployment, wrong: impl Fn(&Value) -> Option<&'static str>) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        let issuers = value(function, ISSUERS).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        for (number, issuer) in issuers.into_iter().flatten().enumerate() {
            places.extend(wrong(&issuer).map(|what| format!("{}: {ISSUERS}[{number}]: {what}", function.place)));
        }
    }
    places
}

/// TLS, or no network at all.
fn is_safe(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_loopback = address.map_or(host == "localhost", |address| address.is_loopback());
    match url.scheme_str().map(str::to_ascii_lowercase).as_deref() {
        Some("https") => true,
        Some("http") => is_loopback,
        _ => false,
    }
}

/// Functions with a cookie, and without the origins whose pages may send it.
pub fn take_a_cookie_without_origins(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let has_cookie = |function: &&Deployed| value(function, COOKIE).is_some();
    let lacks_origins = |function: &&Deployed| match function.settings.get("CORS_ORIGINS") {
        Some(origins) => origins.as_deref() == Some(""),
        None => true,
    };
    let functions = deployment.functions.iter().filter(has_cookie).filter(lacks_origins);
    functions
        .map(|function| format!("{}: {COOKIE} is set, and CORS_ORIGINS is not", function.place))
        .collect()
}

/// Functions that know no issuer, and have routes for those who show a token.
pub fn know_no_issuer(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let lacks = |(function, declared): &(&Deployed, &Declared)| {
        // On Lambda, IAM vouches for callers, too.
        let is_empty =
            function.platform == Platform::CloudRun && function.settings.get(ISSUERS) == Some(&Some(String::new()));
        declared.has_protected_routes && (is_empty || !function.sets_any(&[ISSUERS]))
    };
    let functions = served(deployment, limits).filter(lacks);
    functions
        .map(|(function, _)| format!("{}: has routes for callers, and no {ISSUERS}", function.place))
        .collect()
}

/// Routes by which everybody changes something.
pub fn write_for_everybody(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    routes(
        deployment,
        limits,
        |declared| &declared.public_writes,
        "is public and writes",
    )
}

/// Routes that do not say who may call them.
pub fn do_not_say_who_may_call(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    routes(
        deployment,
        limits,
        |declared| &declared.undeclared,
        "does not say who may call it",
    )
}

fn routes(
    deployment: &Deployment,
    limits: Limits<'_>,
    of: impl Fn(&Declared) -> &Vec<String>,
    what: &str,
) -> Vec<String> {
    let mut places = Vec::new();
    for (function, declared) in served(deployment, limits) {
        let routes = of(declared).iter();
        places.extend(routes.map(|route| format!("{}: {route} {what}", function.place)));
    }
    places
}

/// Every deployed function of this bundle that answers requests.
fn served<'a>(deployment: &'a Deployment, limits: Limits<'a>) -> impl Iterator<Item = (&'a Deployed, &'a Declared)> {
    let functions = deployment.functions.iter().filter(|function| !function.is_job);
    functions.filter_map(move |function| Some((function, limits.declared(function)?)))
}

/// The value of a variable, if it stands in the file: `envsubst` puts others there.
fn value<'a>(function: &'a Deployed, key: &str) -> Option<&'a str> {
    let text = function.settings.get(key)?.as_deref()?;
    (!text.is_empty() && !text.starts_with('$')).then_some(text)
}
