//! Splits a connection string into its parameters: libpq's URI and its `keyword=value` form (PostgreSQL, 34.1.1).

use percent_encoding::percent_decode_str;

type Pairs = Vec<(String, String)>;

/// The parameters as written, in their order; a later one overrides an earlier one.
///
/// # Errors
/// What the string must be instead; never a part of it, which may belong to a password.
pub(super) fn split(text: &str) -> Result<Pairs, String> {
    const EXPECTED: &str = "a URL such as postgresql://user:password@host:5432/database";
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    match text.split_once("://") {
        // SQLAlchemy names its driver after a plus sign.
        Some((scheme, rest)) if is_postgres(scheme.split('+').next().unwrap_or(scheme)) => uri(rest),
        None if text.contains('=') => keywords(text).ok_or_else(|| EXPECTED.to_owned()),
        _ => Err(EXPECTED.to_owned()),
    }
}

fn is_postgres(scheme: &str) -> bool {
    ["postgres", "postgresql"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name))
}

/// `user:password@host:port,host:port/database?name=value&...`, percent-encoded everywhere. Unlike in libpq, an `@` in
/// the password need not be encoded, because the last one separates it from the hosts.
fn uri(rest: &str) -> Result<Pairs, String> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &str| -> Result<(), String> {
        pairs.push((decode(name)?, decode(value)?));
        Ok(())
    };
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    add("user", user)?;
    add("password", password)?;
    let (hosts, ports): (Vec<&str>, Vec<&str>) = hosts.split(',').map(host_and_port).unzip();
    add("host", &hosts.join(","))?;
    add("port", &ports.join(","))?;
    add("dbname", path.trim_start_matches('/'))?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        add(name, value)?;
    }
    Ok(pairs)
}

/// An IPv6 address stands in brackets.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').unwrap_or(rest));
    }
    text.split_once(':').unwrap_or((text, ""))
}

fn decode(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "a URL in UTF-8, with % only before two hexadecimal digits that are not 00";
    let is_escape = |after_percent: &str| {
        let digits = after_percent.as_bytes().get(..2);
        digits.is_some_and(|digits| digits != b"00" && digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if text.split('%').skip(1).all(is_escape) => Ok(decoded.into_owned()),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// `name = value` or `name = 'value'`, separated by blanks; a backslash escapes the next character.
fn keywords(text: &str) -> Option<Pairs> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let quoted = value.strip_prefix('\'');
        let mut parsed = String::new();
        let mut characters = quoted.unwrap_or(value).chars();
        loop {
            match (characters.next(), quoted) {
                (Some('\\'), _) => parsed.push(characters.next()?),
                (Some('\''), Some(_)) | (None, None) => break,
                (Some(blank), None) if blank.is_whitespace() => break,
                (Some(character), _) => parsed.push(character),
                (None, Some(_)) => return None,
            }
        }
        pairs.push((name.trim_end().to_owned(), parsed));
        rest = characters.as_str().trim_start();
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<(String, String)> {
        let pairs = split(text).unwrap_or_else(|expected| panic!("{text}: {expected}"));
        pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    #[test]
    fn uris_are_split_as_libpq_splits_them() {
        let whole = [
            ("user", "u"),
            ("password", "p"),
            ("host", "h"),
            ("port", "1"),
            ("dbname", "d"),
        ];
        for text in [
            "postgresql://u:p@h:1/d",
            "postgres+asyncpg://u:p@h:1/d",
            "jdbc:postgresql://u:p@h:1/d",
        ] {
            assert_eq!(named(text), pairs(&whole), "{text}");
        }
        for (text, expected) in [
            ("postgresql://", pairs(&[])),
            ("postgresql:///d", pairs(&[("dbname", "d")])),
            (
                "postgresql://[::1]:2/d",
                pairs(&[("host", "::1"), ("port", "2"), ("dbname", "d")]),
            ),
            (
                "postgresql://[2001:db8::1%25eth0]",
                pairs(&[("host", "2001:db8::1%eth0")]),
            ),
            ("postgresql://a:1,[::1]:2", pairs(&[("host", "a,::1"), ("port", "1,2")])),
            (
                "postgresql://%2Frun%2Fpg/d",
                pairs(&[("host", "/run/pg"), ("dbname", "d")]),
            ),
            (
                "postgresql://u@s:p@w@h",
                pairs(&[("user", "u@s"), ("password", "p@w"), ("host", "h")]),
            ),
            (
                "postgresql://u%40s:p%2F%3F@h",
                pairs(&[("user", "u@s"), ("password", "p/?"), ("host", "h")]),
            ),
            (
                "postgresql://h?a%5Fb=c%3D+d&e",
                pairs(&[("host", "h"), ("a_b", "c=+d")]),
            ),
            (
                "postgresql://u:p@:5/d?host=/dir",
                pairs(&[
                    ("user", "u"),
                    ("password", "p"),
                    ("port", "5"),
                    ("dbname", "d"),
                    ("host", "/dir"),
                ]),
            ),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }

    #[test]
    fn keywords_have_values_with_and_without_quotes() {
        let expected = pairs(&[("host", "h"), ("password", "it's \\ a = b"), ("dbname", "d e")]);
        assert_eq!(
            named(r"host=h password = 'it\'s \\ a = b'  port='' dbname=d\ e"),
            expected
        );
    }

    #[test]
    fn an_error_never_repeats_a_part_of_the_string() {
        for text in [
            "secret",
            "mysql://secret",
            "secret='x",
            "host",
            "postgresql://%00secret",
            "postgresql://secret%4",
            "postgresql://%ffsecret",
        ] {
            let expected = split(text).expect_err(text);
            assert!(!expected.contains("secret"), "{expected}");
        }
    }
}
