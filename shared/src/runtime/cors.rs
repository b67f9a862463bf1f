//! Which pages of other origins may read answers.

use super::app::{REQUEST_ID, TRACE_RESPONSE};
#[cfg(feature = "callers")]
use super::gate::TokenCookie;
use crate::config::Env;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, CorsLayer};

/// What a page may read beside the headers that need no permission.
pub static EXPOSED_HEADERS: [HeaderName; 20 + cfg!(feature = "callers") as usize] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    #[cfg(feature = "callers")]
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("producer-epoch"),
    HeaderName::from_static("producer-expected-seq"),
    HeaderName::from_static("producer-received-seq"),
    HeaderName::from_static("producer-seq"),
    HeaderName::from_static("stream-closed"),
    HeaderName::from_static("stream-cursor"),
    HeaderName::from_static("stream-expires-at"),
    HeaderName::from_static("stream-next-offset"),
    HeaderName::from_static("stream-sse-data-encoding"),
    HeaderName::from_static("stream-ttl"),
    HeaderName::from_static("stream-up-to-date"),
    REQUEST_ID,
    TRACE_RESPONSE,
];

/// How long a browser may cache the answer to a preflight. Chromium allows two hours at most.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Cross-origin access, as `CORS_ORIGINS` grants it. Without an origin, browsers refuse it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cors {
    /// Origins, as browsers send them: scheme, host, and port unless it is the scheme's own.
    pub origins: Vec<HeaderValue>,
    /// The cookie that may have the token of a caller.
    #[cfg(feature = "callers")]
    pub token_cookie: Option<TokenCookie>,
}

impl Cors {
    /// Reads `CORS_ORIGINS`: a comma list or a JSON array. `*` is refused, because access is granted with credentials. With the
    /// feature `callers`, reads `TOKEN_COOKIE`.
    pub fn from_env(env: &Env) -> Self {
        const EXPECTED: &str = "a comma list or a JSON array of origins such as https://app.example.com, without path, without the port of its scheme, and never *";
        let origins = env.parse("CORS_ORIGINS", Vec::new(), EXPECTED, |text| {
            let origins: Vec<String> = if text.starts_with('[') {
                serde_json::from_str(text).ok()?
            } else {
                text.split(',').map(str::to_owned).collect()
            };
            origins.iter().map(|text| origin(text.trim())).collect()
        });
        Self {
            origins,
            #[cfg(feature = "callers")]
            token_cookie: TokenCookie::from_env(env),
        }
    }

    /// Allows the origins, with credentials and any header of a request: functions have headers of their own.
    pub(super) fn layer(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(self.origins.clone())
            .allow_credentials(true)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED_HEADERS.clone())
            .max_age(PREFLIGHT_AGE)
    }
}

/// An origin in the letters that browsers use (RFC 6454, section 6.2).
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let url: Uri = text.parse().ok()?;
    let default_port = match url.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let origin = format!("{}://{}", url.scheme_str()?, url.host()?);
    let origin = match url.port_u16().filter(|port| *port != default_port) {
        Some(port) => format!("{origin}:{port}"),
        None => origin,
    };
    // What is written in another way would be compared with each `Origin`, and equal none.
    let is_origin = text == origin && !text.contains(['*', '%']);
    is_origin.then(|| HeaderValue::try_from(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "*",
            "https://app.example.com, *",
            "https://*.example.com",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "http://localhost:",
            "http://localhost:05173",
            "http://localhost:70000",
            "https://app.example.com?",
            "https://app.example.com#a",
            "https://%61pp.example.com",
            "https://bücher.example",
            "[\"https://app.example.com\"",
            "https://app.example.com,",
        ] {
            let env = Env::new(move |key| (key == "CORS_ORIGINS").then(|| text.to_owned()));
            assert_eq!(Cors::from_env(&env), Cors::default(), "{text}");
            assert_eq!(env.take_invalid()[0].key, "CORS_ORIGINS", "{text}");
        }
    }

    #[test]
    fn a_port_that_is_not_that_of_the_scheme_is_part_of_an_origin() {
        const TEXT: &str = "https://app.example.com:80, http://localhost:443, http://[::1]:3000, http://127.0.0.1";
        let env = env(&[("CORS_ORIGINS", TEXT)]);
        assert_eq!(Cors::from_env(&env).origins, Vec::from_iter(TEXT.split(", ")));
    }

    #[test]
    fn a_list_and_a_json_array_name_the_same_origins_and_nothing_names_none() {
        let list = env(&[("CORS_ORIGINS", "https://App.example.com, http://localhost:5173")]);
        let array = env(&[(
            "CORS_ORIGINS",
            r#"["https://app.example.com", "http://localhost:5173"]"#,
        )]);
        assert_eq!(
            Cors::from_env(&list).origins,
            ["https://app.example.com", "http://localhost:5173"]
        );
        assert_eq!(Cors::from_env(&list), Cors::from_env(&array));
        assert_eq!(Cors::from_env(&env(&[])), Cors::default());
    }
}
