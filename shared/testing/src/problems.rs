//! The net under the errors of every route: requests that no client should send, and what an error must be.

use super::{Exchange, hostile};
use hyper::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

/// The `type` of the problem that an error is; `None` for an answer that is no error.
///
/// # Errors
/// Why it is not a problem (RFC 9457): its media type, or a member.
pub fn problem_type(answer: &Exchange) -> Result<Option<String>, String> {
    let status = answer.status;
    if !(status.is_client_error() || status.is_server_error()) {
        return Ok(None);
    }
    let media_type = answer.headers.get("content-type").map(|value| value.as_bytes());
    if media_type != Some(b"application/problem+json") {
        return Err(format!("another media type: {}", answer.transcript()));
    }
    let problem: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let text = |member: &str| problem[member].as_str().filter(|text| !text.is_empty());
    let has_members = text("title").and(text("detail")).is_some() && problem["status"] == status.as_u16();
    match text("type").filter(|_| has_members) {
        Some(kind) => Ok(Some(kind.to_owned())),
        None => Err(format!("members are missing: {}", answer.transcript())),
    }
}

/// A request that HTTP allows, and that no client should send.
#[derive(Clone, Debug)]
pub struct HostileRequest {
    /// The method.
    pub method: Method,
    /// The path, and perhaps a query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; it may be empty.
    pub body: Vec<u8>,
}

/// Requests for a route whose path has `{parameters}`.
pub fn hostile_request(template: &str) -> impl Strategy<Value = HostileRequest> + use<> {
    let template = template.to_owned();
    let target = (vec(segment(), 8), query()).prop_map(move |(segments, query)| fill(&template, segments) + &query);
    (method(), target, vec(header(), 0..4), body()).prop_map(|(method, target, headers, body)| HostileRequest {
        method,
        target,
        headers: headers.into_iter().flatten().collect(),
        body,
    })
}

/// The template with a segment in the place of each parameter.
fn fill(template: &str, segments: Vec<String>) -> String {
    let mut segments = segments.into_iter();
    let parts = template.split('/').map(|part| {
        if part.starts_with('{') {
            segments.next().unwrap_or_default()
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

fn encoded() -> impl Strategy<Value = String> {
    hostile().prop_map(|text| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string())
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("1".to_owned()),
        1 => Just("%ff".to_owned()),
        1 => Just("%2F..%2f".to_owned()),
        1 => "[-0-9]{1,20}",
        1 => encoded(),
    ]
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        1 => "\\?[!$-;=?-~]{0,20}",
        1 => encoded().prop_map(|text| format!("?{text}={text}")),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    const KNOWN: &[&str] = &[
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PROPFIND",
    ];
    proptest::sample::select(KNOWN).prop_map(|method| Method::from_bytes(method.as_bytes()).expect("a token"))
}

/// `None`: not a value that HTTP allows.
fn header() -> impl Strategy<Value = Option<(hyper::header::HeaderName, hyper::header::HeaderValue)>> {
    let name = proptest::sample::select(&[
        "accept",
        "authorization",
        "content-encoding",
        "content-type",
        "content-type",
        "cookie",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "origin",
        "range",
        "traceparent",
        "x-request-id",
    ]);
    let known = proptest::sample::select(&[
        "application/json",
        "application/json",
        "application/json; charset=\"",
        "text/html",
        ";;;",
        "gzip",
        "bytes=9-1",
        "bytes=18446744073709551615-",
        "*",
    ]);
    let value = prop_oneof![
        3 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => hostile().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..300),
    ];
    (name, value)
        .prop_map(|(name, value)| Some((name.parse().ok()?, hyper::header::HeaderValue::from_bytes(&value).ok()?)))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(b"{}".to_vec()),
        1 => "[\\[\\]{}\",:0-9a]{0,30}".prop_map(String::into_bytes),
        1 => hostile().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => (1..100_000_usize).prop_map(|depth| vec![b'['; depth]),
    ]
}
