//! The value of the header `Idempotency-Key`.

use super::{KEY_INVALID, KEY_MISSING};
use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderName};

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in characters.
const MAX_LENGTH: usize = 255;

/// The key of a request. The draft wants a string in quotes (RFC 9651, section 3.3.3), and most clients send it without them: both
/// are the same key.
///
/// # Errors
/// [`KEY_MISSING`] or [`KEY_INVALID`].
pub fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut sent = headers.get_all(HEADER).iter();
    let Some(value) = sent.next() else {
        return Err(Problem::new(&KEY_MISSING));
    };
    let key = value.to_str().ok().and_then(parse);
    let key = key.filter(|key| sent.next().is_none() && (1..=MAX_LENGTH).contains(&key.len()));
    key.ok_or_else(|| Problem::new(&KEY_INVALID))
}

/// Without quotes, a comma would be a second key that a proxy has joined, and a semicolon would begin a parameter.
fn parse(value: &str) -> Option<String> {
    let value = value.trim();
    if let Some(quoted) = value.strip_prefix('"') {
        return unquoted(quoted.strip_suffix('"')?);
    }
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\,;".contains(c);
    value.chars().all(is_plain).then(|| value.to_owned())
}

/// What stands between the quotes: printable ASCII, with `\"` and `\\` for the two that need it.
fn unquoted(text: &str) -> Option<String> {
    let (mut key, mut characters) = (String::new(), text.chars());
    while let Some(c) = characters.next() {
        key.push(match c {
            '\\' => characters.next().filter(|escaped| "\"\\".contains(*escaped))?,
            ' '..='~' if c != '"' => c,
            _ => return None,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn of(values: &[&[u8]]) -> Result<String, u16> {
        let values = values
            .iter()
            .map(|value| (HEADER, HeaderValue::from_bytes(value).unwrap()));
        key(&values.collect()).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        let long = format!("\"{}\"", "x".repeat(256));
        for value in [
            "",
            " ",
            "\"\"",
            "\"",
            "\"a",
            "a\"",
            "a b",
            "a,b",
            "a, b",
            "a;b",
            "a\\b",
            "\"a\\b\"",
            "\"a\\\"",
            "\"a\"b\"",
            "\"a\";p=1",
            "\"a\", \"b\"",
            "\"a\tb\"",
            "ä",
            "\"ä\"",
            &long,
            &long[1..257],
        ] {
            assert_eq!(of(&[value.as_bytes()]), Err(400), "{value}");
        }
        assert_eq!(of(&[b"\"\xff\""]), Err(400));
        assert_eq!(of(&[b"a", b"a"]), Err(400));
        assert_eq!(of(&[]), Err(400));
        assert_eq!(key(&HeaderMap::new()).unwrap_err().slug(), Some(KEY_MISSING.slug));
    }

    #[test]
    fn a_key_is_the_same_with_and_without_quotes() {
        let long = "x".repeat(255);
        for (value, key) in [
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            (
                "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            ("  KG5LxwFBepaKHyUD== ", "KG5LxwFBepaKHyUD=="),
            ("a/b+c:d|e~", "a/b+c:d|e~"),
            (r#""a b, \"c\"; \\ d""#, r#"a b, "c"; \ d"#),
            (&long, &long),
        ] {
            assert_eq!(of(&[value.as_bytes()]).as_deref(), Ok(key), "{value}");
        }
        assert_eq!(of(&[format!("\"{long}\"").as_bytes()]), Ok(long));
    }
}
