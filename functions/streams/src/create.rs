//! `PUT /v1/stream/{path}`: creates a stream, or finds that it is there as it should be (section 5.1).

use crate::{
    Log,
    access::check_read,
    body::payload,
    expiry, fork,
    header::{self, STREAM_CLOSED},
    media_type,
    path::StreamPath,
    problem, read,
};
use axum::{
    extract::State,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{HOST, LOCATION},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use shared::{
    body::Buffered,
    callers::Caller,
    deadline::Deadline,
    parameters::Path,
    problem::{Problem, ProblemType},
    streams::{Create, Created, Fork, Form},
};

pub const PROBLEMS: &[ProblemType] = &[
    problem::INVALID_HEADER,
    problem::FORK_POINT,
    problem::SOURCE_NOT_FOUND,
    problem::STREAM_EXISTS,
    problem::CONTENT_TYPE_DIFFERS,
    problem::SOURCE_DELETED,
    problem::FORK_TOO_DEEP,
    problem::TOO_MANY_STREAMS,
];

/// Creates a stream, or answers that it exists with these properties.
#[cfg_attr(feature = "openapi", utoipa::path(
    put, path = crate::PATH, operation_id = "createStream", tag = "durable",
    params(
        ("path" = String, Path, description = "The path of the stream: segments, separated by `/`.", example = "examples/1"),
        ("Stream-TTL" = Option<u32>, Header, description = "It expires when it is not used for so many seconds."),
        ("Stream-Expires-At" = Option<String>, Header, description = "It expires at this time of RFC 3339."),
        ("Stream-Closed" = Option<String>, Header, description = "`true`: the body is all that it will ever have."),
        ("Stream-Forked-From" = Option<String>, Header, description = "It begins with the data of this stream: `/v1/stream/..`."),
        ("Stream-Fork-Offset" = Option<String>, Header, description = "With its data up to this offset. Otherwise, with all."),
        ("Stream-Fork-Sub-Offset" = Option<u64>, Header, description = "And so many bytes, or messages of JSON, after that."),
    ),
    request_body(content((Vec<u8> = "application/octet-stream"), (serde_json::Value = "application/json")),
        description = "The first data. Its type is that of the stream. An array of JSON is one message an element."),
    responses(
        (status = 201, description = "The stream is new.", headers(("Stream-Next-Offset" = String, description = "The offset of the end."))),
        (status = 200, description = "It was there already, with these properties.", headers(("Stream-Next-Offset" = String, description = "The offset of the end."))),
    ),
))]
pub async fn create(
    State(log): State<Log>,
    Path(path): Path<StreamPath>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    deadline: Deadline,
    body: Buffered,
) -> Result<Response, Problem> {
    let expiry = expiry::from_headers(&headers)?;
    let mut fork = fork::from_headers(&headers)?;
    if let Some(fork) = &fork {
        check_read(&caller, &fork.source)?;
    }
    let sent = media_type::from_headers(&headers)?;
    let content_type = content_type(&log, &deadline, sent, fork.as_ref(), &body).await?;
    let data = if body.is_empty() {
        Bytes::new()
    } else {
        payload(content_type.as_deref().unwrap_or(media_type::DEFAULT), body)?
    };
    if let Some(fork) = &mut fork {
        fork::read_prefix(&log, &deadline, fork).await?;
    }
    let create = Create {
        path: path.as_str().to_owned(),
        content_type,
        expiry,
        closed: header::closes(&headers),
        data: Some(data).filter(|data| !data.is_empty()),
        form: Form::Record,
        fork,
    };
    let (created, head) = log.streams.create(&deadline, create).await.map_err(fork::of_creation)?;
    let mut answer = read::head_headers(&head);
    if head.closed {
        answer.insert(STREAM_CLOSED, header::TRUE);
    }
    if let Created::Existing = created {
        return Ok((StatusCode::OK, answer).into_response());
    }
    answer.insert(LOCATION, header::value(location(&uri, &headers)));
    Ok((StatusCode::CREATED, answer).into_response())
}

/// The type that a body without one has is that of the fork's source.
async fn content_type(
    log: &Log,
    deadline: &Deadline,
    sent: Option<&str>,
    fork: Option<&Fork>,
    body: &[u8],
) -> Result<Option<String>, Problem> {
    match (sent, fork) {
        (None, Some(fork)) if !body.is_empty() => {
            let source = log.streams.head(deadline, &fork.source).await;
            Ok(Some(source.map_err(fork::problem_of_source)?.content_type))
        }
        (sent, _) => Ok(sent.map(str::to_owned)),
    }
}

/// The URL of the stream, with the scheme and the host that the client has used.
fn location(uri: &Uri, headers: &HeaderMap) -> String {
    let path = uri.path();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(host);
    // Each front adds its own at the end: the client has used the first.
    let schemes = headers
        .get("x-forwarded-proto")
        .and_then(|schemes| schemes.to_str().ok());
    let scheme = schemes
        .and_then(|schemes| schemes.split(',').next())
        .unwrap_or_default();
    let is_tls = scheme.trim().eq_ignore_ascii_case("https");
    match host {
        Some(host) if is_tls => format!("https://{host}{path}"),
        Some(host) => format!("http://{host}{path}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_location_is_the_url_that_the_client_has_used() {
        let at = |uri: &'static str, headers: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| (name.parse().unwrap(), value.parse().unwrap());
            location(&Uri::from_static(uri), &headers.iter().map(pair).collect())
        };
        let host = ("host", "example.com");
        assert_eq!(at("/v1/stream/a%20b?x=1", &[]), "/v1/stream/a%20b");
        assert_eq!(at("/v1/stream/a", &[host]), "http://example.com/v1/stream/a");
        for (forwarded, scheme) in [
            ("https", "https"),
            ("https,http", "https"),
            ("HTTPS , http", "https"),
            ("http, https", "http"),
            ("", "http"),
        ] {
            let url = at("/v1/stream/a", &[host, ("x-forwarded-proto", forwarded)]);
            assert_eq!(url, format!("{scheme}://example.com/v1/stream/a"), "{forwarded}");
        }
        assert_eq!(at("http://[::1]:80/v1/stream/a", &[]), "http://[::1]:80/v1/stream/a");
    }
}
