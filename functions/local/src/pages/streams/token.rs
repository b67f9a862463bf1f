//! `POST /streams/token`: a token for the page `/streams`, which the page has in memory alone.

use crate::issuer::{Claims, Issuer};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse,
};
use serde_json::json;
use shared::{body::Json, problem::Problem, runtime::ORIGIN_REFUSED};
use std::{sync::Arc, time::Duration};

/// Short, because the page gets the next one by itself.
const TTL: Duration = Duration::from_secs(10 * 60);

/// `{"token": "..", "expires_in": 600}`, in seconds, as RFC 6749, section 5.1 has it.
///
/// # Errors
/// [`ORIGIN_REFUSED`]: the request is not of a page of `local`.
pub async fn answer(State(issuer): State<Arc<Issuer>>, headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    if !is_of_this_server(&headers) {
        let detail = "Only the page at http://127.0.0.1 gets a token. Elsewhere: cargo run -- token.";
        return Err(Problem::new(&ORIGIN_REFUSED).detail(detail));
    }
    let token = issuer.token(&Claims {
        subject: "streams-page".to_owned(),
        email: None,
        scope: Some("streams:read streams:write".to_owned()),
        ttl: TTL,
        is_service: false,
    });
    let token = token.map_err(Problem::internal)?;
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(json!({"token": token, "expires_in": TTL.as_secs()}))))
}

/// Whether a page of this server asks. Browsers send `Origin` with each POST, and no page can set it. A page that reaches the
/// server by DNS rebinding has a name as its host; a page of `CORS_ORIGINS`, or of another port, has another origin.
fn is_of_this_server(headers: &HeaderMap) -> bool {
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none());
        value.and_then(|value| value.to_str().ok())
    };
    let (Some(host), Some(origin)) = (only(header::HOST), only(header::ORIGIN)) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].contains(&name) && origin == format!("http://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gets_token(headers: &[(&'static str, &'static str)]) -> bool {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        is_of_this_server(&headers.iter().map(pair).collect())
    }

    #[test]
    fn a_page_of_another_origin_or_of_another_name_for_this_machine_gets_no_token() {
        const HOST: (&str, &str) = ("host", "127.0.0.1:9000");
        for headers in [
            &[][..],
            &[HOST],
            &[HOST, ("origin", "null")],
            &[HOST, ("origin", "https://127.0.0.1:9000")],
            &[HOST, ("origin", "http://127.0.0.1:3000")],
            &[HOST, ("origin", "http://127.0.0.1")],
            &[HOST, ("origin", "http://localhost:9000")],
            &[HOST, ("origin", "http://app.example.com")],
            &[
                HOST,
                ("origin", "http://127.0.0.1:9000"),
                ("origin", "http://app.example.com"),
            ],
            &[HOST, HOST, ("origin", "http://127.0.0.1:9000")],
            &[
                ("host", "rebound.example.com:9000"),
                ("origin", "http://rebound.example.com:9000"),
            ],
            &[
                ("host", "127.0.0.1.example.com"),
                ("origin", "http://127.0.0.1.example.com"),
            ],
            &[("host", "user@127.0.0.1"), ("origin", "http://user@127.0.0.1")],
            &[("origin", "http://127.0.0.1:9000")],
        ] {
            assert!(!gets_token(headers), "{headers:?}");
        }
        assert!(gets_token(&[HOST, ("origin", "http://127.0.0.1:9000")]));
        assert!(gets_token(&[
            ("host", "localhost:9100"),
            ("origin", "http://localhost:9100")
        ]));
        assert!(gets_token(&[("host", "[::1]:9000"), ("origin", "http://[::1]:9000")]));
        assert!(gets_token(&[("host", "[::1]"), ("origin", "http://[::1]")]));
    }
}
