//! What a request says of its caller: a bearer token (RFC 6750), the identity that the platform has verified, or a token in a
//! cookie, in this order. A query parameter says nothing: it stands in logs and histories.

use crate::{
    callers::{Caller, TOKEN_MALFORMED, invalid_token, token_missing},
    config::Env,
    problem::Problem,
};
use axum::http::{HeaderMap, header, request::Parts};

/// An extension of a request: the caller as the platform has verified it. Only the event of an invocation makes one.
#[derive(Clone, Debug)]
pub struct PlatformCaller(pub Caller);

/// The cookie that may have a token, for pages whose requests can have no header, such as those of `EventSource`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenCookie(String);

impl TokenCookie {
    /// Reads `TOKEN_COOKIE`. Browsers take a cookie with the prefix `__Host-` from a host itself alone, by TLS alone, and for
    /// every path (RFC 6265bis, section 4.1.3.2): nobody else can plant one.
    pub fn from_env(env: &Env) -> Option<Self> {
        const EXPECTED: &str = "the name of a cookie that begins with __Host-, such as __Host-token";
        env.parse("TOKEN_COOKIE", None, EXPECTED, |name| {
            let is_name = |name: &str| {
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            let rest = name.strip_prefix("__Host-")?;
            (!rest.is_empty() && is_name(rest)).then(|| Some(Self(name.to_owned())))
        })
    }
}

/// Where a request names its caller.
#[derive(Debug)]
pub enum Credentials<'a> {
    Header(&'a str),
    Platform(&'a Caller),
    Cookie(&'a str),
}

/// What a client sends on purpose counts before what a browser adds by itself.
///
/// # Errors
/// There are none, or two.
pub fn credentials<'a>(parts: &'a Parts, cookie: Option<&TokenCookie>) -> Result<Credentials<'a>, Problem> {
    if let Some(token) = bearer(&parts.headers)? {
        return Ok(Credentials::Header(token));
    }
    if let Some(PlatformCaller(caller)) = parts.extensions.get() {
        return Ok(Credentials::Platform(caller));
    }
    let token = cookie.map(|cookie| cookie.read(&parts.headers)).transpose()?.flatten();
    token.map(Credentials::Cookie).ok_or_else(token_missing)
}

/// The token of `Authorization: Bearer`, whose scheme has any case (RFC 9110, section 11.1). Other schemes are the platform's,
/// such as its signatures.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(malformed());
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if scheme.eq_ignore_ascii_case(b"bearer") {
        text(token.trim_ascii()).map(Some)
    } else {
        Ok(None)
    }
}

impl TokenCookie {
    /// The value of the cookie. Clients may split their cookies over several headers (RFC 9113, section 8.2.3).
    fn read<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, Problem> {
        let sent = headers.get_all(header::COOKIE).iter();
        let pairs = sent.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(self.0.as_bytes())?;
            rest.strip_prefix(b"=")
        });
        let Some(value) = values.next() else { return Ok(None) };
        match values.next() {
            Some(_) => Err(malformed()),
            None => text(value).map(Some),
        }
    }
}

/// Visible ASCII, as a token is. A space would begin a second one.
fn text(token: &[u8]) -> Result<&str, Problem> {
    let is_text = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    let token = std::str::from_utf8(token).ok().filter(|_| is_text);
    token.ok_or_else(malformed)
}

fn malformed() -> Problem {
    invalid_token(&TOKEN_MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{callers::Kind, config::tests::env};
    use axum::http::{HeaderName, HeaderValue, Request};

    const COOKIE: &[(&str, &str)] = &[("TOKEN_COOKIE", "__Host-token")];

    /// Where the token is and what it is, or the slug of the refusal.
    fn found(headers: &[(HeaderName, &[u8])], platform: bool) -> String {
        let (mut parts, ()) = Request::new(()).into_parts();
        for (name, value) in headers {
            parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        if platform {
            parts
                .extensions
                .insert(PlatformCaller(Caller::from_platform("aws-iam", "role", Kind::Service)));
        }
        match credentials(&parts, TokenCookie::from_env(&env(COOKIE)).as_ref()) {
            Ok(Credentials::Header(token)) => format!("header {token}"),
            Ok(Credentials::Platform(caller)) => format!("platform {}", caller.subject()),
            Ok(Credentials::Cookie(token)) => format!("cookie {token}"),
            Err(problem) => problem.slug().unwrap().to_owned(),
        }
    }

    #[test]
    fn a_header_is_one_bearer_token_or_malformed() {
        for (value, expected) in [
            ("Bearer", "token-malformed"),
            ("Bearer ", "token-malformed"),
            ("Bearer a b", "token-malformed"),
            ("Bearer a, Bearer b", "token-malformed"),
            ("Bearer a\tb", "token-malformed"),
            ("Bearer ä", "token-malformed"),
            ("Bearer \u{feff}a", "token-malformed"),
            ("", "token-missing"),
            ("Basic YTpi", "token-missing"),
            ("Bearera", "token-missing"),
            ("AWS4-HMAC-SHA256 Credential=a", "token-missing"),
            ("Bearer a.b.c", "header a.b.c"),
            ("bEARER   a.b.c ", "header a.b.c"),
        ] {
            assert_eq!(
                found(&[(header::AUTHORIZATION, value.as_bytes())], false),
                expected,
                "{value:?}"
            );
        }
        let twice = [
            (header::AUTHORIZATION, &b"Bearer a"[..]),
            (header::AUTHORIZATION, b"Basic YTpi"),
        ];
        assert_eq!(found(&twice, true), "token-malformed");
    }

    #[test]
    fn a_cookie_is_one_cookie_of_this_name() {
        for (values, expected) in [
            (&["a=1; __Host-token=x; b=2"][..], "cookie x"),
            (&["a=\u{e9}", "__Host-token=x"], "cookie x"),
            (&["__Host-token=a=b"], "cookie a=b"),
            (&["__Host-token=x; __Host-token=x"], "token-malformed"),
            (&["__Host-token=x", "__Host-token=y"], "token-malformed"),
            (&["__Host-token="], "token-malformed"),
            (&["__Host-token=\u{e9}"], "token-malformed"),
            (
                &["__host-token=x; __Host-tokens=x; x__Host-token=x; __Host-token"],
                "token-missing",
            ),
            (&["a=__Host-token=x", ""], "token-missing"),
        ] {
            let headers: Vec<_> = values.iter().map(|value| (header::COOKIE, value.as_bytes())).collect();
            assert_eq!(found(&headers, false), expected, "{values:?}");
        }
    }

    #[test]
    fn what_a_client_sends_counts_before_what_the_platform_says_and_that_before_a_cookie() {
        let bearer = (header::AUTHORIZATION, &b"Bearer a"[..]);
        let signature = (header::AUTHORIZATION, &b"AWS4-HMAC-SHA256 Credential=a"[..]);
        let cookie = (header::COOKIE, &b"__Host-token=c"[..]);
        assert_eq!(found(&[bearer.clone(), cookie.clone()], true), "header a");
        assert_eq!(found(&[signature, cookie.clone()], true), "platform role");
        assert_eq!(found(&[bearer, cookie.clone()], false), "header a");
        assert_eq!(found(&[cookie], false), "cookie c");
    }

    #[test]
    fn the_name_of_the_cookie_binds_it_to_its_host() {
        for name in [
            "token",
            "__Host-",
            "__Secure-token",
            "__host-token",
            "__Host-a b",
            "__Host-a=b",
            "__Host-\u{e4}",
        ] {
            let env = Env::new(move |_| Some(name.to_owned()));
            assert_eq!(TokenCookie::from_env(&env), None, "{name}");
            assert_eq!(env.take_invalid()[0].key, "TOKEN_COOKIE", "{name}");
        }
        assert_eq!(TokenCookie::from_env(&env(&[])), None);
        assert!(TokenCookie::from_env(&env(COOKIE)).is_some());
    }
}
