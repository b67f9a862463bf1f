//! Rules about who may call: the issuers of tokens, cookies, and what routes say.

use super::{Limits, declared::Declared};
use crate::deployment::{Deployed, Deployment, Platform};
use axum::http::Uri;
use serde_json::Value;
use shared::{callers::Callers, config::Env, runtime::Cors};
use std::net::IpAddr;

/// The settings that these rules look at.
pub const SETTINGS: [&str; 3] = [ORIGINS, ISSUERS, COOKIE];

const ORIGINS: &str = "CORS_ORIGINS";
const ISSUERS: &str = "TOKEN_ISSUERS";
const COOKIE: &str = "TOKEN_COOKIE";

/// Issuers whose tokens count, whatever they were made for.
pub fn name_no_audience(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    mistakes(deployment, |member| member == AUDIENCE)
}

/// Issuers whose keys come from whoever is on the way.
pub fn are_asked_over_http(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    mistakes(deployment, |member| URLS.contains(&member))
}

/// Issuers on the machine of whoever asks them, as that of `local` is.
pub fn are_on_this_machine(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        let issuers = value(function, ISSUERS).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        for (number, issuer) in issuers.iter().flatten().enumerate() {
            let is_here = |member: &&&str| issuer[**member].as_str().is_some_and(is_this_machine);
            let member = URLS.iter().find(is_here);
            let place = &function.place;
            places.extend(member.map(|member| format!("{place}: {ISSUERS}[{number}].{member} is on this machine")));
        }
    }
    places
}

/// Whether the host of a URL is the machine that asks (RFC 6761, section 6.3, for the names).
fn is_this_machine(url: &str) -> bool {
    let url: Option<Uri> = url.parse().ok();
    let host = url.as_ref().and_then(Uri::host).unwrap_or_default();
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse().map(|address: IpAddr| address.to_canonical());
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Issuers with any other mistake.
pub fn are_refused(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    mistakes(deployment, |member| member != AUDIENCE && !URLS.contains(&member))
}

const AUDIENCE: &str = "audience";
const URLS: [&str; 2] = ["issuer", "jwks_url"];

/// What the functions themselves would say of their issuers, where it is about one of these members. A value that stands
/// elsewhere is not looked at.
fn mistakes(deployment: &Deployment, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        let Some(issuers) = value(function, ISSUERS).map(str::to_owned) else {
            continue;
        };
        let env = Env::new(move |key| (key == ISSUERS).then(|| issuers.clone()));
        Callers::from_env(&env);
        let invalid = env.take_invalid().into_iter();
        let invalid = invalid.filter(|invalid| is_one(invalid.key.split("].").nth(1).unwrap_or_default()));
        places.extend(invalid.map(|invalid| format!("{}: {invalid}", function.place)));
    }
    places
}

/// Functions that refuse what they are to know of browsers. `*` has a rule of its own.
pub fn refuse_a_cookie_or_origins(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        for key in [COOKIE, ORIGINS] {
            let Some(text) = value(function, key).filter(|text| !text.contains('*')) else {
                continue;
            };
            let text = text.to_owned();
            let env = Env::new(move |asked| (asked == key).then(|| text.clone()));
            Cors::from_env(&env);
            let invalid = env.take_invalid().into_iter();
            places.extend(invalid.map(|invalid| format!("{}: {invalid}", function.place)));
        }
    }
    places
}

/// Functions with a cookie, and without the origins whose pages may send it.
pub fn take_a_cookie_without_origins(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let has_cookie = |function: &&Deployed| value(function, COOKIE).is_some();
    let lacks_origins = |function: &&Deployed| match function.settings.get(ORIGINS) {
        Some(origins) => origins.as_deref() == Some(""),
        None => true,
    };
    let functions = deployment.functions.iter().filter(has_cookie).filter(lacks_origins);
    functions
        .map(|function| format!("{}: {COOKIE} is set, and {ORIGINS} is not", function.place))
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

/// Function URLs that nothing but IAM opens, of functions with routes that ask for scopes.
pub fn ask_callers_by_iam_for_scopes(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let by_iam_alone = |function: &Deployed| {
        let has_url = function.platform == Platform::Lambda && function.streams.is_some();
        has_url && !function.is_public && !limits.openable.contains(&function.place)
    };
    let functions = served(deployment, limits).filter(|(function, _)| by_iam_alone(function));
    let closed = functions.filter(|(_, declared)| !declared.scoped.is_empty());
    closed
        .map(|(function, declared)| {
            let (place, routes) = (&function.place, declared.scoped.join(", "));
            format!("{place}: AuthType is AWS_IAM whatever the parameters are, and these ask for scopes: {routes}")
        })
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
    let text = function.setting(key)?;
    (!text.is_empty() && !text.starts_with('$')).then_some(text)
}
