//! Which pages of other origins may read answers.

#[cfg(feature = "callers")]
use super::gate::TokenCookie;
use crate::config::Env;
use axum::http::{HeaderValue, Uri};

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
        const EXPECTED: &str =
            "a comma list or a JSON array of origins such as https://app.example.com, without path and never *";
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
}

/// An origin in the letters that browsers use (RFC 6454, section 6.2).
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let url: Uri = text.parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let is_origin = ["http", "https"].contains(&scheme)
        && text == format!("{scheme}://{authority}")
        && !authority.as_str().contains(['@', '*']);
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
            "[\"https://app.example.com\"",
            "https://app.example.com,",
        ] {
            let env = Env::new(move |key| (key == "CORS_ORIGINS").then(|| text.to_owned()));
            assert_eq!(Cors::from_env(&env), Cors::default(), "{text}");
            assert_eq!(env.take_invalid()[0].key, "CORS_ORIGINS", "{text}");
        }
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
