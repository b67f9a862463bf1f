//! Sends the same requests to every life of a function, and expects the same answers.

mod comparable;

use super::{Binary, Client, EventShape, Exchange, FakeRuntimeApi};
use axum::http::header;
use http_body_util::BodyExt;
use hyper::Method;
use std::time::Duration;

pub use comparable::normalized;

/// A request, and what its answer must have.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// The media type of its body and the body, if it has one.
    pub body: Option<(&'static str, &'static [u8])>,
    /// What the client accepts.
    pub accept: &'static str,
    /// `Authorization`, if the client sends one.
    pub authorization: Option<String>,
    /// Its other headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The status code.
    pub status: u16,
    /// The media type of the answer.
    pub content_type: &'static str,
    /// The members of the answer whose values vary.
    pub varying: &'static [&'static str],
}

impl Expected {
    /// A request without a body, from a client that accepts anything.
    pub fn new(method: Method, path: &'static str, status: u16, content_type: &'static str) -> Self {
        Self {
            method,
            path,
            body: None,
            accept: "*/*",
            authorization: None,
            headers: Vec::new(),
            status,
            content_type,
            varying: &[],
        }
    }

    /// The same request with a body.
    #[must_use]
    pub fn sending(self, media_type: &'static str, body: &'static [u8]) -> Self {
        let body = Some((media_type, body));
        Self { body, ..self }
    }

    /// The same request, whose answer has members of JSON that differ from request to request, at any depth: the number of a
    /// row, an id. Every life answers them, with a value of the same type. Times need no mention.
    #[must_use]
    pub fn varying(self, varying: &'static [&'static str]) -> Self {
        Self { varying, ..self }
    }

    /// The same request with a token (RFC 6750, section 2.1).
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        let authorization = Some(format!("Bearer {token}"));
        Self { authorization, ..self }
    }

    /// The same request with one more header. With an `Idempotency-Key`, the first life answers, and the others repeat that.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let media_type = self.body.map(|(media_type, _)| ("content-type", media_type));
        let authorization = self.authorization.as_deref().map(|value| ("authorization", value));
        [("accept", self.accept)]
            .into_iter()
            .chain(media_type)
            .chain(authorization)
            .chain(self.headers.iter().copied())
            .collect()
    }

    fn content(&self) -> &'static [u8] {
        self.body.map_or(&[], |(_, content)| content)
    }

    fn streams(&self) -> bool {
        self.content_type == "text/event-stream" && self.method != Method::HEAD
    }
}

/// The route of a function, and what every function also answers: HEAD, wrong methods, unknown paths.
pub fn common(path: &'static str, status: u16, content_type: &'static str) -> Vec<Expected> {
    const PROBLEM: &str = "application/problem+json";
    let rows = [
        (Method::GET, path, status, content_type),
        (Method::HEAD, path, status, content_type),
        (Method::POST, path, 405, PROBLEM),
        (Method::DELETE, path, 405, PROBLEM),
        (Method::GET, "/", 404, PROBLEM),
        (Method::GET, "/health/db/../../etc/passwd", 404, PROBLEM),
        (Method::GET, "/%00%0d%0a", 404, PROBLEM),
        (Method::GET, "//health", 404, PROBLEM),
        (Method::GET, "/%2Fhealth?a=%22%3C&a=1&b=%26%3D%2B%20", 404, PROBLEM),
        (Method::GET, "/%F0%9F%94%A5", 404, PROBLEM),
        (Method::from_bytes(b"get").expect("a token"), path, 405, PROBLEM),
    ];
    rows.map(|(method, path, status, content_type)| Expected::new(method, path, status, content_type))
        .into()
}

/// Sends every request to every life. Panics at the first answer that differs.
pub async fn same_in_every_life(binary: &Binary, matrix: &[Expected]) {
    let server = binary.serve();
    let api = FakeRuntimeApi::start().await;
    let _lambda = binary.on_lambda(&api);
    for expected in matrix {
        let name = format!("{} {} ({})", expected.method, expected.path, expected.accept);
        let answer = over_http(&Client::http1(), &server.url, expected).await;
        assert_expected(&answer, expected, &name);
        let comparable = |answer: &Exchange| comparable(answer, expected.varying);
        let h2c = over_http(&Client::h2c(), &server.url, expected).await;
        assert_eq!(comparable(&h2c), comparable(&answer), "{name} over h2c");
        for shape in EventShape::ALL {
            let (method, headers) = (expected.method.as_str(), expected.headers());
            let event = match expected.body {
                None => shape.event(method, expected.path, &headers),
                Some((_, content)) => shape.event_with_body(method, expected.path, &headers, content),
            };
            let mut posted = api.invoke(&event, Duration::from_secs(2)).await;
            let on_lambda = if expected.streams() {
                posted.head().await
            } else {
                posted.exchange().await
            };
            assert_eq!(comparable(&on_lambda), comparable(&answer), "{name} as {shape:?}");
        }
    }
}

fn assert_expected(answer: &Exchange, expected: &Expected, name: &str) {
    assert_eq!(answer.status, expected.status, "{name}: {}", answer.transcript());
    assert_eq!(answer.headers[header::CONTENT_TYPE], expected.content_type, "{name}");
    assert!(answer.headers.contains_key("x-request-id"), "{name}");
    if expected.status == 405 {
        let allow = &answer.headers[header::ALLOW];
        assert!(
            allow.to_str().is_ok_and(|allow| allow.ends_with(",OPTIONS")),
            "{name}: {allow:?}"
        );
        assert!(
            expected.body.is_some() || allow == "GET,HEAD,OPTIONS",
            "{name}: {allow:?}"
        );
    }
    assert_eq!(expected.method == Method::HEAD, answer.body.is_empty(), "{name}");
    let body = String::from_utf8_lossy(&answer.body);
    for member in expected.varying {
        assert!(
            body.contains(&format!("{member:?}:")),
            "{name}: no member {member} in {body}"
        );
    }
}

async fn over_http(client: &Client, url: &str, expected: &Expected) -> Exchange {
    let url = format!("{url}{}", expected.path);
    let (method, content) = (expected.method.clone(), expected.content().into());
    let response = client.open_with_body(method, &url, &expected.headers(), content).await;
    let (parts, mut body) = response.into_parts();
    let body = if expected.streams() {
        let first = body.frame().await.expect("a stream has a first frame");
        first.expect("it is whole").into_data().expect("it has data")
    } else {
        body.collect().await.expect("the answer is whole").to_bytes()
    };
    Exchange {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// The headers without those that the transport adds, and without values that differ from request to request: ids, times,
/// latencies, and whether this one was the first.
fn comparable(answer: &Exchange, varying: &[&str]) -> (u16, Vec<(String, String)>, String) {
    const VARYING: [&str; 7] = [
        "connection",
        "content-length",
        "date",
        "idempotent-replayed",
        "traceresponse",
        "transfer-encoding",
        "x-request-id",
    ];
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !VARYING.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}")));
    let mut headers: Vec<(String, String)> = headers.collect();
    headers.sort();
    (
        answer.status.as_u16(),
        headers,
        comparable::without(&answer.body, varying),
    )
}
