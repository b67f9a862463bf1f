//! The errors of axum's extractors, and of handlers that answer a bare status, as problems.

use crate::problem::{self, AsIs, Problem};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// The longest text that is repeated as the detail of a problem, in bytes.
const MAX_DETAIL: u64 = 500;

/// An error that is not a problem yet becomes one, unless it is marked with [`AsIs`]. A short plain text is its detail.
pub fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || has_type(response.headers(), "application/problem+json") || is_marked(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = has_type(&parts.headers, "text/plain").then(|| text(body)).flatten();
    let mut problem = Problem::for_status(status);
    match text {
        Some(text) if status.is_server_error() => tracing::error!(error = text, "a handler failed"),
        Some(text) => problem = problem.detail(text),
        None => {}
    }
    let mut response = problem.into_response();
    for (name, value) in &parts.headers {
        let describes_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !describes_body {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn is_marked(response: &Response) -> bool {
    response.extensions().get::<AsIs>().is_some()
}

fn has_type(headers: &HeaderMap, media_type: &str) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = sent.and_then(|sent| sent.strip_prefix(media_type.as_bytes()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b";"))
}

/// A short text that is there already.
fn text(mut body: Body) -> Option<String> {
    body.size_hint()
        .exact()
        .filter(|size| (1..=MAX_DETAIL).contains(size))?;
    let data = body.frame().now_or_never()??.ok()?.into_data().ok()?;
    String::from_utf8(data.into()).ok()
}

impl Problem {
    /// The problem of the runtime that has this status, or one that only the status describes.
    fn for_status(status: StatusCode) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => problem::MALFORMED,
            _ => match problem::RUNTIME.iter().find(|kind| kind.status == status) {
                Some(kind) => *kind,
                None => return Self::from_status(status),
            },
        };
        Self::new(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use serde_json::Value;

    async fn written(response: Response) -> (HeaderMap, Value) {
        let (parts, body) = as_problem(response).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn an_error_as_text_is_the_detail_of_a_problem() {
        let answer = (StatusCode::BAD_REQUEST, [("x-kept", "1")], "missing field `page`").into_response();
        let (headers, problem) = written(answer).await;
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["x-kept"], "1");
        assert_eq!(headers.get_all("content-type").iter().count(), 1);
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&400.into(), &"/problems/malformed".into())
        );
        assert_eq!(problem["detail"], "missing field `page`");
    }

    #[tokio::test]
    async fn the_text_of_a_server_error_stays_in_the_log_and_a_long_one_is_left_out() {
        let long = "x".repeat(501);
        for (status, text, kind) in [
            (500, "no route to 10.0.0.7", "/problems/internal"),
            (503, "no route to 10.0.0.7", "/problems/unavailable"),
            (409, &long, "about:blank"),
            (418, "", "about:blank"),
        ] {
            let answer = (StatusCode::from_u16(status).unwrap(), text.to_owned()).into_response();
            let (_, problem) = written(answer).await;
            assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &kind.into()));
            assert!(text.is_empty() || !problem.to_string().contains(text), "{problem}");
        }
    }

    #[tokio::test]
    async fn an_error_of_another_media_type_is_not_repeated() {
        for media_type in [
            "text/html; charset=utf-8",
            "application/json",
            "application/problem+jsonx",
            "",
        ] {
            let answer = (StatusCode::CONFLICT, [("content-type", media_type)], "<h1>secret</h1>").into_response();
            let (headers, problem) = written(answer).await;
            assert_eq!(headers["content-type"], "application/problem+json", "{media_type}");
            assert_eq!(problem["detail"], "Conflict", "{media_type}");
        }
    }

    #[test]
    fn answers_that_are_no_errors_problems_and_marked_errors_stay_as_they_are() {
        let report = (
            StatusCode::SERVICE_UNAVAILABLE,
            Extension(AsIs),
            [("content-type", "application/health+json")],
            "{}",
        );
        let problem = Problem::new(&problem::NOT_FOUND).detail("There is no such greeting.");
        for answer in [
            report.into_response(),
            problem.into_response(),
            "text".into_response(),
            StatusCode::NOT_MODIFIED.into_response(),
        ] {
            let before = format!("{:?}{:?}", answer.status(), answer.headers());
            let after = as_problem(answer);
            assert_eq!(before, format!("{:?}{:?}", after.status(), after.headers()));
        }
    }
}
