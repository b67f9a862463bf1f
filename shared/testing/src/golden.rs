//! The same requests in every life of a function, and the same answers.

use super::{Client, EventShape, Exchange, FakeRuntimeApi, Function};
use axum::http::header;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::Value;
use std::time::Duration;

/// A request, and what its answer must have.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// What the client accepts.
    pub accept: &'static str,
    /// The status code.
    pub status: u16,
    /// The media type of the answer.
    pub content_type: &'static str,
}

/// What every path and method that a function does not have gets, and HEAD on the one that it has.
pub fn common(path: &'static str, status: u16, content_type: &'static str) -> Vec<Golden> {
    let golden = |method, path, status, content_type| Golden {
        method,
        path,
        accept: "*/*",
        status,
        content_type,
    };
    const PROBLEM: &str = "application/problem+json";
    vec![
        golden(Method::GET, path, status, content_type),
        golden(Method::HEAD, path, status, content_type),
        golden(Method::POST, path, 405, PROBLEM),
        golden(Method::DELETE, path, 405, PROBLEM),
        golden(Method::GET, "/", 404, PROBLEM),
        golden(Method::GET, "/health/db/../../etc/passwd", 404, PROBLEM),
        golden(Method::GET, "/%00%0d%0a", 404, PROBLEM),
        golden(Method::GET, "//health", 404, PROBLEM),
        golden(Method::GET, "/%2Fhealth?a=%22%3C&a=1&b=%26%3D%2B%20", 404, PROBLEM),
        golden(Method::GET, "/%F0%9F%94%A5", 404, PROBLEM),
        golden(Method::from_bytes(b"get").expect("a token"), path, 405, PROBLEM),
    ]
}

/// Sends every request to every life. Panics at the first answer that differs.
pub async fn same_answers(function: &Function, goldens: &[Golden]) {
    let server = function.serve();
    let api = FakeRuntimeApi::start().await;
    let _lambda = function.on_lambda(&api);
    for golden in goldens {
        let expected = over_http(&Client::http1(), &server.url, golden).await;
        let name = format!("{} {} ({})", golden.method, golden.path, golden.accept);
        assert_eq!(expected.status, golden.status, "{name}: {}", expected.text());
        assert_eq!(expected.headers[header::CONTENT_TYPE], golden.content_type, "{name}");
        assert!(expected.headers.contains_key("x-request-id"), "{name}");
        if golden.status == 405 {
            assert_eq!(expected.headers[header::ALLOW], "GET,HEAD,OPTIONS", "{name}");
        }
        assert_eq!(golden.method == Method::HEAD, expected.body.is_empty(), "{name}");
        let h2c = over_http(&Client::h2c(), &server.url, golden).await;
        assert_eq!(comparable(&h2c), comparable(&expected), "{name} over h2c");
        for shape in EventShape::ALL {
            let event = shape.event(golden.method.as_str(), golden.path, &[("accept", golden.accept)]);
            let mut posted = api.invoke(&event, Duration::from_secs(2)).await;
            let streams = golden.content_type == "text/event-stream" && golden.method == Method::GET;
            let answer = if streams {
                posted.head().await
            } else {
                posted.exchange().await
            };
            assert_eq!(comparable(&answer), comparable(&expected), "{name} as {shape:?}");
        }
    }
}

async fn over_http(client: &Client, url: &str, golden: &Golden) -> Exchange {
    let url = format!("{url}{}", golden.path);
    let response = client
        .open(golden.method.clone(), &url, &[("accept", golden.accept)])
        .await;
    let (parts, mut body) = response.into_parts();
    let streams = golden.content_type == "text/event-stream" && golden.method == Method::GET;
    let body = if streams {
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

/// Without what the transport adds and what differs from request to request: ids, times, latencies.
fn comparable(answer: &Exchange) -> (u16, Vec<(String, String)>, String) {
    const OF_THE_TRANSPORT: [&str; 6] = [
        "connection",
        "content-length",
        "date",
        "traceresponse",
        "transfer-encoding",
        "x-request-id",
    ];
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !OF_THE_TRANSPORT.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}")));
    let mut headers: Vec<(String, String)> = headers.collect();
    headers.sort();
    (answer.status.as_u16(), headers, normalized(&answer.body))
}

/// A body without its times: values of JSON members that hold one, ids of events.
pub fn normalized(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Value>(&text) {
        Ok(mut json) => {
            forget_times(&mut json);
            json.to_string()
        }
        Err(_) => text
            .lines()
            .map(|line| {
                if line.starts_with("id: ") {
                    "id: time\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect(),
    }
}

fn forget_times(json: &mut Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                if ["latency_ms", "observedValue", "time", "timestamp"].contains(&name.as_str()) {
                    *value = Value::Null;
                }
                forget_times(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}
