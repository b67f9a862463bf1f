//! On a server that answers a copy as S3 does in a bucket that keeps no versions.

use super::*;
use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode},
    response::IntoResponse,
    routing::any,
};
use std::sync::{Arc, Mutex};
use testing::loopback;

/// The answers of S3 to a copy whose source was replaced after the first look.
fn answer(request: &Request) -> (StatusCode, HeaderMap, &'static str) {
    let mut headers = HeaderMap::new();
    headers.insert("etag", "\"looked-at\"".parse().unwrap());
    let (status, body) = match *request.method() {
        Method::HEAD if request.uri().path().ends_with("/from") => {
            headers.insert("content-length", 10.into());
            (200, "")
        }
        Method::POST => (
            200,
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
        ),
        Method::PUT => (412, "<Error><Code>PreconditionFailed</Code></Error>"),
        Method::DELETE => (204, ""),
        _ => (404, "<Error><Code>NoSuchKey</Code></Error>"),
    };
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

#[tokio::test]
async fn a_copy_is_of_the_content_that_was_looked_at_or_fails() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = axum::Router::new().fallback(any(move |request: Request| {
        let condition = request.headers().get("x-amz-copy-source-if-match").cloned();
        log.lock().unwrap().push((request.method().clone(), condition));
        let answer = answer(&request);
        async move { answer.into_response() }
    }));
    let (listener, url) = loopback().await;
    let server = tokio::spawn(async move { axum::serve(listener, server).await });
    let storage = on(&url, "evidence", SECRET_KEY);
    let copied = storage.copy(&key("from"), &key("to"), false).await.unwrap_err();
    assert_eq!(copied.kind, Kind::PreconditionFailed, "{}", copied.chain());
    let seen = seen.lock().unwrap().clone();
    let copies: Vec<_> = seen.iter().filter(|(method, _)| method == Method::PUT).collect();
    assert_eq!(copies, [&(Method::PUT, Some("\"looked-at\"".parse().unwrap()))]);
    assert_eq!(seen.last().unwrap().0, Method::DELETE, "the upload is left behind");
    server.abort();
}
