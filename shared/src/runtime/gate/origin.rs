//! Cross-site request forgery: a browser adds a cookie to the requests of any page, so a request that changes something counts
//! only if its page may make it (OWASP, "Cross-Site Request Forgery Prevention Cheat Sheet").

use crate::{
    problem::{Problem, ProblemType},
    runtime::Cors,
};
use axum::http::{HeaderName, Method, StatusCode, header, request::Parts};

/// The token came in a cookie, and the page that has sent it may not use it.
pub const ORIGIN_REFUSED: ProblemType = ProblemType {
    slug: "origin-refused",
    status: StatusCode::FORBIDDEN,
    title: "Origin Refused",
    detail: "With a token in a cookie, only pages of this origin and of those that are allowed may change something.",
};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A page can set neither of the two headers. A browser that does not send the first is held to the second.
///
/// # Errors
/// [`ORIGIN_REFUSED`].
pub fn check(parts: &Parts, cors: &Cors) -> Result<(), Problem> {
    let is_safe = [Method::GET, Method::HEAD].contains(&parts.method);
    let only = |name: HeaderName| {
        let mut values = parts.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    let is_own = || only(FETCH_SITE).is_some_and(|site| site == "same-origin");
    let is_allowed = || only(header::ORIGIN).is_some_and(|origin| cors.origins.contains(origin));
    if is_safe || is_own() || is_allowed() {
        Ok(())
    } else {
        Err(Problem::new(&ORIGIN_REFUSED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, Request};

    #[test]
    fn a_page_that_may_change_nothing_is_refused() {
        let cors = Cors {
            origins: vec![HeaderValue::from_static("https://app.example.com")],
            ..Cors::default()
        };
        for (method, headers, passes) in [
            ("POST", &[][..], false),
            ("POST", &[("origin", "null")], false),
            ("POST", &[("origin", "https://evil.example.com")], false),
            ("POST", &[("origin", "https://app.example.com.evil.example")], false),
            ("POST", &[("origin", "http://app.example.com")], false),
            (
                "POST",
                &[
                    ("origin", "https://app.example.com"),
                    ("origin", "https://evil.example.com"),
                ],
                false,
            ),
            ("POST", &[("referer", "https://app.example.com/")], false),
            ("POST", &[("sec-fetch-site", "same-site")], false),
            ("POST", &[("sec-fetch-site", "none")], false),
            (
                "POST",
                &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            ("DELETE", &[("sec-fetch-site", "cross-site")], false),
            ("POST", &[("origin", "https://app.example.com")], true),
            (
                "POST",
                &[("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")],
                true,
            ),
            (
                "PUT",
                &[("origin", "https://api.example.com"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            ("GET", &[("origin", "https://evil.example.com")], true),
            ("HEAD", &[], true),
        ] {
            let request = headers
                .iter()
                .fold(Request::builder().method(method), |request, (name, value)| {
                    request.header(*name, *value)
                });
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(check(&parts, &cors).is_ok(), passes, "{method} {headers:?}");
        }
    }
}
