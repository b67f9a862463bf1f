//! Reads the environment variables of a function, and finds secrets in plain text among them.

use super::{Deployed, Deployment, Platform, Secret, evaluate::text};
use serde_json::Value;

/// Reads one variable of a template or a manifest.
pub fn add(deployment: &mut Deployment, function: &mut Deployed, key: &str, value: &Value) {
    let written = text(value).or_else(|| text(&value["Sub"]));
    let secret = written
        .as_ref()
        .filter(|written| is_secret(key, written, function.platform));
    function.secrets.extend(secret.map(|text| Secret {
        key: key.to_owned(),
        text: text.clone(),
    }));
    // These refer to a value outside of the file. Any other function may build a secret from parts of the file.
    let is_elsewhere = ["GetAtt", "ImportValue", "Ref"]
        .iter()
        .any(|name| value.get(name).is_some());
    const DECIDES: [&str; 5] = [
        "CORS_ORIGINS",
        "DATABASE_MAX_CONNECTIONS",
        "SSE_MAX_AGE",
        "TOKEN_COOKIE",
        "TOKEN_ISSUERS",
    ];
    let decides = DECIDES.contains(&key);
    let literal = text(value).filter(|text| !text.contains("{{resolve:"));
    if (written.is_none() && !is_elsewhere) || (decides && literal.is_none()) {
        deployment.not_understood(&function.place, &format!("the value of {key}"));
    }
    function.settings.insert(key.to_owned(), literal);
}

/// Whether the value of a variable contains a secret, and not only references to one.
fn is_secret(key: &str, written: &str, platform: Platform) -> bool {
    const PARTS: [&str; 6] = ["API_KEY", "DATABASE_URL", "HEADERS", "PASSWORD", "SECRET", "TOKEN"];
    let mut rest = without(written, "{{resolve:", "}}");
    // In a manifest, `envsubst` has already replaced `${}` by the text.
    if platform == Platform::Lambda {
        rest = without(&rest, "${", "}");
    }
    let is_reference = rest != written;
    let named = PARTS.iter().any(|part| key.to_ascii_uppercase().contains(part)) || key == "PRIVATE_KEY";
    let named = match key {
        // The name of a cookie, and public keys.
        "TOKEN_COOKIE" => false,
        "TOKEN_ISSUERS" => has_private_key(&rest),
        _ => named,
    };
    has_password(&rest) || (named && !is_reference && !rest.is_empty())
}

/// Whether a text has a JSON Web Key that signs: its private part is `d`, and that of a symmetric key `k` (RFC 7518, section 6).
fn has_private_key(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    [r#""d":"#, r#""k":"#].iter().any(|member| text.contains(member))
}

/// Whether a URL has a password before its host (RFC 3986, section 3.2.1) or among its parameters.
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

/// The text without every part from `open` to `close`.
fn without(text: &str, open: &str, close: &str) -> String {
    let mut parts = text.split(open);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |rest, part| {
        rest + part.split_once(close).map_or("", |(_, after)| after)
    })
}
