//! Rules about who may call: the issuers of tokens, cookies, and what routes say.

use super::{Limits, declared::Declared};
use crate::deployment::{Deployed, Deployment, Platform};
use shared::{callers::Callers, config::Env};

/// The settings that these rules look at.
pub const SETTINGS: [&str; 3] = ["CORS_ORIGINS", ISSUERS, COOKIE];

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
