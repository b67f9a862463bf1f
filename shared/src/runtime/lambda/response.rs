//! HTTP responses as the JSON that Function URLs, API Gateway and load balancers take.

use super::event::Origin;
use axum::http::{HeaderValue, header::SET_COOKIE, response};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap};

/// A buffered response, or the prelude of a streamed one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyResponse<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    multi_value_headers: Headers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<Cow<'a, str>>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    body: Option<TextBody<'a>>,
}

type Headers<'a> = BTreeMap<&'a str, Vec<Cow<'a, str>>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextBody<'a> {
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

impl<'a> ProxyResponse<'a> {
    /// HTTP APIs and Function URLs take joined headers, and cookies apart from them; REST APIs take lists; load balancers
    /// read one or the other, depending on their target group, so they get both.
    pub fn new(origin: Origin, parts: &'a response::Parts, body: &'a [u8]) -> Self {
        let mut response = match origin {
            Origin::HttpApi => Self::joined(parts),
            Origin::RestApi => Self::listed(parts),
            Origin::LoadBalancer => Self {
                status_description: Some(parts.status.to_string()),
                headers: join(headers(parts)),
                ..Self::listed(parts)
            },
        };
        response.body = Some(TextBody::new(body));
        response
    }

    /// The same for every origin: joined headers, and cookies apart from them.
    pub fn prelude(parts: &'a response::Parts) -> Self {
        Self::joined(parts)
    }

    fn joined(parts: &'a response::Parts) -> Self {
        let mut headers = headers(parts);
        let cookies = headers.remove(SET_COOKIE.as_str()).unwrap_or_default();
        Self {
            headers: join(headers),
            multi_value_headers: BTreeMap::new(),
            cookies: Some(cookies),
            ..Self::listed(parts)
        }
    }

    fn listed(parts: &'a response::Parts) -> Self {
        Self {
            status_code: parts.status.as_u16(),
            status_description: None,
            headers: BTreeMap::new(),
            multi_value_headers: headers(parts),
            cookies: None,
            body: None,
        }
    }
}

impl<'a> TextBody<'a> {
    fn new(body: &'a [u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => Self {
                body: text.into(),
                is_base64_encoded: false,
            },
            Err(_) => Self {
                body: BASE64_STANDARD.encode(body).into(),
                is_base64_encoded: true,
            },
        }
    }
}

fn headers(parts: &response::Parts) -> Headers<'_> {
    let mut headers = Headers::new();
    for (name, value) in &parts.headers {
        headers.entry(name.as_str()).or_default().push(text(value));
    }
    headers
}

fn join(headers: Headers<'_>) -> BTreeMap<&str, String> {
    headers
        .into_iter()
        .map(|(name, values)| (name, values.join(", ")))
        .collect()
}

/// JSON cannot hold bytes: a value that is not UTF-8 is read as ISO 8859-1, as in HTTP/1.0 (RFC 9110, section 5.5).
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Response;
    use serde_json::{Value, json};

    fn parts() -> response::Parts {
        let response = Response::builder()
            .header("vary", "accept")
            .header("vary", "origin")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        response.body(()).unwrap().into_parts().0
    }

    fn written(origin: Origin) -> Value {
        serde_json::to_value(ProxyResponse::new(origin, &parts(), b"text")).unwrap()
    }

    #[test]
    fn each_origin_gets_repeated_headers_and_cookies_in_its_shape() {
        let v2 = written(Origin::HttpApi);
        assert_eq!(v2["headers"], json!({"vary": "accept, origin"}));
        assert_eq!(v2["cookies"], json!(["a=1", "b=2"]));
        assert_eq!((&v2["body"], &v2["isBase64Encoded"]), (&json!("text"), &json!(false)));
        let many = json!({"vary": ["accept", "origin"], "set-cookie": ["a=1", "b=2"]});
        let v1 = written(Origin::RestApi);
        assert_eq!((&v1["multiValueHeaders"], v1.get("headers")), (&many, None));
        let alb = written(Origin::LoadBalancer);
        assert_eq!(
            (&alb["multiValueHeaders"], &alb["statusDescription"]),
            (&many, &json!("200 OK"))
        );
    }

    #[test]
    fn a_prelude_lists_only_cookies_and_has_no_body() {
        let prelude = serde_json::to_value(ProxyResponse::prelude(&parts())).unwrap();
        let expected = json!({"statusCode": 200, "headers": {"vary": "accept, origin"}, "cookies": ["a=1", "b=2"]});
        assert_eq!(prelude, expected);
    }

    #[test]
    fn a_body_and_a_header_that_are_not_text_reach_the_client() {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.headers.insert("x", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let response = serde_json::to_value(ProxyResponse::new(Origin::HttpApi, &parts, b"\xff\x00")).unwrap();
        assert_eq!(response["headers"]["x"], "caf\u{e9}");
        assert_eq!(
            (&response["body"], &response["isBase64Encoded"]),
            (&json!("/wA="), &json!(true))
        );
    }
}
