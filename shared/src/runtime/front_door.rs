//! The JSON that a front door of Lambda takes for a response in one piece.

use axum::http::{header::SET_COOKIE, response};
use lambda_http::request::RequestOrigin;
use serde::Serialize;
use std::collections::BTreeMap;

/// A response in one piece, as its front door takes it. `lambda_http` has these shapes too, together with the tables of
/// every text encoding: 200 KB. The bundle speaks UTF-8.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontDoorResponse<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    multi_value_headers: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<&'a str>>,
    body: &'a str,
    is_base64_encoded: bool,
}

impl<'a> FrontDoorResponse<'a> {
    /// HTTP APIs and Function URLs take joined headers and cookies apart; REST APIs take lists; load balancers take
    /// either, as their target group is set. `None` where something is not text.
    pub fn new(origin: &RequestOrigin, parts: &'a response::Parts, body: &'a [u8]) -> Option<Self> {
        let mut many: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &parts.headers {
            many.entry(name.as_str()).or_default().push(value.to_str().ok()?);
        }
        let mut response = Self {
            status_code: parts.status.as_u16(),
            status_description: None,
            headers: BTreeMap::new(),
            multi_value_headers: BTreeMap::new(),
            cookies: None,
            body: std::str::from_utf8(body).ok()?,
            is_base64_encoded: false,
        };
        if matches!(origin, RequestOrigin::ApiGatewayV2) {
            response.cookies = Some(many.remove(SET_COOKIE.as_str()).unwrap_or_default());
        }
        if !matches!(origin, RequestOrigin::ApiGatewayV1) {
            response.headers = many.iter().map(|(name, values)| (*name, values.join(", "))).collect();
        }
        if matches!(origin, RequestOrigin::Alb) {
            response.status_description = Some(parts.status.to_string());
        }
        if !matches!(origin, RequestOrigin::ApiGatewayV2) {
            response.multi_value_headers = many;
        }
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Response;
    use serde_json::{Value, json};

    fn written(origin: &RequestOrigin) -> Value {
        let response = Response::builder()
            .header("vary", "accept")
            .header("vary", "origin")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2");
        let (parts, ()) = response.body(()).unwrap().into_parts();
        serde_json::to_value(FrontDoorResponse::new(origin, &parts, b"text")).unwrap()
    }

    #[test]
    fn each_front_door_gets_repeated_headers_and_cookies_in_its_own_shape() {
        let v2 = written(&RequestOrigin::ApiGatewayV2);
        assert_eq!(v2["headers"], json!({"vary": "accept, origin"}));
        assert_eq!(v2["cookies"], json!(["a=1", "b=2"]));
        let many = json!({"vary": ["accept", "origin"], "set-cookie": ["a=1", "b=2"]});
        let v1 = written(&RequestOrigin::ApiGatewayV1);
        assert_eq!((&v1["multiValueHeaders"], v1.get("headers")), (&many, None));
        let alb = written(&RequestOrigin::Alb);
        assert_eq!(
            (&alb["multiValueHeaders"], &alb["statusDescription"]),
            (&many, &json!("200 OK"))
        );
    }

    #[test]
    fn a_body_that_is_not_text_is_refused() {
        let (parts, ()) = Response::new(()).into_parts();
        assert!(FrontDoorResponse::new(&RequestOrigin::ApiGatewayV2, &parts, b"\xff").is_none());
    }
}
