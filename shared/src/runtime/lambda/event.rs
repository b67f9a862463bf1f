//! HTTP requests as Lambda events: from Function URLs and HTTP APIs of API Gateway (payload 2.0), its REST APIs (payload 1.0)
//! and Application Load Balancers.
//!
//! Sources: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! `set-up-lambda-proxy-integrations.html` there, and
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>.
//! `lambda_http` decodes them too, but panics on an invalid host, query or body.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri::PathAndQuery},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// The service in front of the function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A Function URL or an HTTP API of API Gateway.
    HttpApi,
    /// A REST API of API Gateway.
    RestApi,
    /// An Application Load Balancer.
    LoadBalancer,
}

/// The members of all kinds of events. Each kind has some of them, and may have null in place of a map.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Present only in events for Lambda authorizers, which otherwise look like HTTP.
    r#type: Option<IgnoredAny>,
    request_context: RequestContext,
    http_method: Option<String>,
    raw_path: Option<String>,
    path: Option<String>,
    raw_query_string: Option<String>,
    query_string_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    headers: Option<BTreeMap<String, String>>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    stage: Option<String>,
    http: Option<Http>,
    elb: Option<IgnoredAny>,
    connection_id: Option<IgnoredAny>,
    #[cfg(feature = "callers")]
    authorizer: Option<serde_json::Value>,
    #[cfg(feature = "callers")]
    identity: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Characters that must be encoded in a path. HTTP APIs decode paths; the others do not.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');
/// REST APIs decode queries: everything except the unreserved characters is encoded again (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Base64, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Event {
    /// The service that sent the event; `None` if it is not HTTP: a queue, a WebSocket, an authorizer.
    pub fn origin(&self) -> Option<Origin> {
        if self.r#type.is_some() {
            return None;
        }
        let context = &self.request_context;
        if context.http.is_some() && self.raw_path.is_some() {
            return Some(Origin::HttpApi);
        }
        let is_http = self.http_method.is_some() && self.path.is_some() && context.connection_id.is_none();
        is_http.then_some(if context.elb.is_some() {
            Origin::LoadBalancer
        } else {
            Origin::RestApi
        })
    }

    /// Writes the event into `request`. Returns `None` if a part of it is not valid HTTP: the request has the parts before it.
    pub fn read_into(self, request: &mut Request<Body>) -> Option<()> {
        *request.headers_mut() = self.request_headers()?;
        *request.method_mut() = Method::from_bytes(self.method().as_bytes()).ok()?;
        *request.uri_mut() = self.uri()?;
        #[cfg(feature = "callers")]
        if let Some(caller) = self.platform_caller() {
            request.extensions_mut().insert(caller);
        }
        *request.body_mut() = self.body()?;
        Some(())
    }

    fn method(&self) -> &str {
        let http = self.request_context.http.as_ref();
        http.map_or(self.http_method.as_deref(), |http| Some(&http.method))
            .unwrap_or_default()
    }

    /// The URI that the client asked for. HTTP APIs put their stage before the path; it is removed.
    fn uri(&self) -> Option<Uri> {
        let path = match (&self.raw_path, &self.request_context.stage) {
            (Some(path), Some(stage)) => without_stage(path, stage),
            (Some(path), None) => path,
            (None, _) => self.path.as_deref()?,
        };
        let path = path.starts_with('/').then(|| encoded_path(path))?;
        let query = self.query();
        let separator = if query.is_empty() { "" } else { "?" };
        let uri = PathAndQuery::try_from(format!("{path}{separator}{query}")).ok()?;
        Some(uri.into())
    }

    /// The query as the client wrote it; REST APIs decode it, so it is encoded again.
    fn query(&self) -> String {
        if let Some(query) = &self.raw_query_string {
            return query.clone();
        }
        let encode = |text: &str| match self.request_context.elb {
            Some(_) => text.to_owned(),
            None => utf8_percent_encode(text, QUERY).to_string(),
        };
        let pairs = pairs(&self.multi_value_query_string_parameters, &self.query_string_parameters);
        let pairs = pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn request_headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(&self.multi_value_headers, &self.headers) {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            headers.try_append(name, value).ok()?;
        }
        if let Some(cookies) = self.cookies.as_ref().filter(|cookies| !cookies.is_empty()) {
            headers.insert(
                header::COOKIE,
                HeaderValue::from_bytes(cookies.join("; ").as_bytes()).ok()?,
            );
        }
        Some(headers)
    }

    fn body(self) -> Option<Body> {
        let text = self.body.unwrap_or_default();
        if self.is_base64_encoded == Some(true) {
            BASE64.decode(text).ok().map(Body::from)
        } else {
            Some(Body::from(text))
        }
    }
}

/// Every name with each of its values. The lists, if present, include the single values.
fn pairs<'a>(
    many: &'a Option<BTreeMap<String, Vec<String>>>,
    single: &'a Option<BTreeMap<String, String>>,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let single = single
        .iter()
        .filter(|_| many.as_ref().is_none_or(BTreeMap::is_empty))
        .flatten();
    let many = many.iter().flatten();
    many.flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        .chain(single)
}

/// The path without its stage, if it starts with it.
fn without_stage<'a>(path: &'a str, stage: &str) -> &'a str {
    let below = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
    match below {
        Some("") => "/",
        Some(below) if below.starts_with('/') => below,
        _ => path,
    }
}

/// Encodes all characters that a path must not contain. Valid percent-encoding stays as it is.
fn encoded_path(path: &str) -> String {
    let is_code = |text: &str| text.len() >= 2 && text.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    let mut encoded = String::with_capacity(path.len());
    for (index, part) in path.split('%').enumerate() {
        if index > 0 {
            encoded += if is_code(part) { "%" } else { "%25" };
        }
        encoded.extend(utf8_percent_encode(part, PATH));
    }
    encoded
}

#[cfg(feature = "callers")]
mod platform;
#[cfg(test)]
mod tests;
