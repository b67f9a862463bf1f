//! The errors that HTTP clients see: problem details (RFC 9457). Only this module maps errors to status codes.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Why a request was not served. A problem describes the request or the function, never a dependency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Problem {
    /// 404: no route has this path.
    NotFound,
    /// 405: the path has no handler for this method. Routers add `Allow`.
    MethodNotAllowed,
    /// 400: a part of the request is not valid HTTP.
    Malformed,
    /// 400: a body came with a request that takes none.
    UnexpectedBody,
    /// 408: the end of the request did not arrive in time.
    RequestTimeout,
    /// 500: a bug. The cause is in the log, under the same request id.
    Internal,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed | Self::UnexpectedBody => StatusCode::BAD_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "No function answers on this path.",
            Self::MethodNotAllowed => "This path does not take this method; Allow names those it takes.",
            Self::Malformed => "The method, the path, the query, a header or the body is not one that HTTP has.",
            Self::UnexpectedBody => "This path takes no request body.",
            Self::RequestTimeout => "The request did not end in time.",
            Self::Internal => "The function failed; its log has the cause under this request's x-request-id.",
        }
    }
}

/// The members of RFC 9457 that a problem without a type of its own has.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Problem))]
pub struct Details {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What this request ran into.
    detail: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let details = axum::Json(Details {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail(),
        });
        let mut response = (status, details).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
