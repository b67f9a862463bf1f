//! The variables of a function: their values, and the secrets that stand among them in plain text.

use super::{Deployment, Function, Platform, Secret, evaluate::text};
use serde_json::Value;

/// Adds a variable as a template or a manifest has it.
pub fn add(deployment: &mut Deployment, function: &mut Function, key: &str, value: &Value) {
    let written = text(value).or_else(|| text(&value["Sub"]));
    let secret = written
        .as_ref()
        .filter(|written| is_secret(key, written, function.platform));
    function.secrets.extend(secret.map(|text| Secret {
        key: key.to_owned(),
        text: text.clone(),
    }));
    // A value of another resource or of a deployment is somewhere else. One that is put together, of whatever, is not.
    let is_elsewhere = ["GetAtt", "ImportValue", "Ref"]
        .iter()
        .any(|name| value.get(name).is_some());
    let decides = ["CORS_ORIGINS", "DATABASE_MAX_CONNECTIONS", "SSE_MAX_AGE"].contains(&key);
    let literal = text(value).filter(|text| !text.contains("{{resolve:"));
    if (written.is_none() && !is_elsewhere) || (decides && literal.is_none()) {
        deployment.not_understood(&function.place, &format!("the value of {key}"));
    }
    function.settings.insert(key.to_owned(), literal);
}

/// Whether text that is given to this variable holds a secret, beside references to it.
fn is_secret(key: &str, written: &str, platform: Platform) -> bool {
    const PARTS: [&str; 6] = ["API_KEY", "DATABASE_URL", "HEADERS", "PASSWORD", "SECRET", "TOKEN"];
    let mut rest = without(written, "{{resolve:", "}}");
    // In a manifest, `envsubst` puts the text itself there.
    if platform == Platform::Lambda {
        rest = without(&rest, "${", "}");
    }
    let is_reference = rest != written;
    let named = PARTS.iter().any(|part| key.to_ascii_uppercase().contains(part)) || key == "PRIVATE_KEY";
    has_password(&rest) || (named && !is_reference && !rest.is_empty())
}

/// A URL with a password before its host (RFC 3986, section 3.2.1), or among its parameters.
fn has_password(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    let password = user.and_then(|(user, _)| user.split_once(':'));
    let parameter = url
        .split(['?', '&'])
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='));
    let mut passwords = parameter.filter(|(name, value)| name.ends_with("password") && !value.is_empty());
    password.is_some_and(|(_, password)| !password.is_empty()) || passwords.next().is_some()
}

/// Text without what stands between two marks, and without them.
fn without(text: &str, open: &str, close: &str) -> String {
    let mut parts = text.split(open);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |rest, part| {
        rest + part.split_once(close).map_or("", |(_, after)| after)
    })
}
