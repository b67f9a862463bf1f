//! Bodies of requests: which a route takes, how large and how slow they may be, and JSON.

mod buffered;
mod json;
mod limited;
mod strict;

use crate::{
    causes::causes,
    problem::{self, Problem},
};
use axum::{
    body::Body,
    extract::DefaultBodyLimit,
    http::{HeaderMap, HeaderName, HeaderValue, Request, header},
};
use hyper::body::Body as _;
use limited::Limited;
use std::sync::{Arc, OnceLock};

pub use buffered::Buffered;
pub use json::Json;

/// The largest body that Lambda hands over: its events end at 6 MB, and Base64 turns 3 bytes into 4.
pub const LAMBDA_LIMIT: u64 = 4_500_000;

/// What body a route takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Content {
    media_type: MediaType,
    limit: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MediaType {
    Any,
    Json,
    Only(&'static [&'static str]),
}

/// JSON of up to `limit` bytes, for handlers that extract [`Json`].
pub const fn json(limit: u64) -> Content {
    Content {
        media_type: MediaType::Json,
        limit,
    }
}

/// A stream of up to `limit` bytes of any type, for handlers that extract [`Body`]: what it sends comes as it arrives.
/// [`LAMBDA_LIMIT`] is the most that arrives on Lambda.
pub const fn stream(limit: u64) -> Content {
    Content {
        media_type: MediaType::Any,
        limit,
    }
}

impl Content {
    /// Only of these media types, such as `image/png` and `image/jpeg`.
    #[must_use]
    pub const fn of_types(self, media_types: &'static [&'static str]) -> Self {
        Self {
            media_type: MediaType::Only(media_types),
            ..self
        }
    }

    /// The same, of at most `limit` bytes.
    pub(crate) const fn at_most(self, limit: u64) -> Self {
        let limit = if self.limit < limit { self.limit } else { limit };
        Self { limit, ..self }
    }

    /// Its media types, for the API document: `*/*` if any is taken.
    pub const fn media_types(&self) -> &'static [&'static str] {
        self.media_type.names()
    }

    /// How many bytes it may have.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Puts the limits around the body of a request, which is not read yet.
    ///
    /// # Errors
    /// The head says already that the body will not be taken.
    pub(crate) fn admit(&self, request: Request<Body>) -> Result<(Request<Body>, Failure), Problem> {
        self.media_type.check(request.headers())?;
        if request.body().size_hint().lower() > self.limit {
            return Err(BodyError::TooLarge(self.limit).into());
        }
        let failure = Failure::default();
        let limited = |body| Body::new(Limited::new(body, self.limit, failure.clone()));
        let mut request = request.map(limited);
        // The extractors of axum have a limit of their own.
        DefaultBodyLimit::disable().apply(&mut request);
        Ok((request, failure))
    }
}

impl MediaType {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Any => &["*/*"],
            Self::Json => &["application/json"],
            Self::Only(media_types) => media_types,
        }
    }

    /// Refuses codings, too: a compressed body is not what the handler would read.
    fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        let refused = Problem::new(&problem::UNSUPPORTED_BODY);
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(refused.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        let sent = only(headers, header::CONTENT_TYPE).unwrap_or_default();
        let sent = sent.split(';').next().unwrap_or_default().trim();
        let fits = match self {
            Self::Any => true,
            Self::Json => is_json(sent),
            Self::Only(media_types) => media_types.iter().any(|taken| sent.eq_ignore_ascii_case(taken)),
        };
        if fits {
            return Ok(());
        }
        // RFC 9110, section 15.5.16: the answer may name what is taken.
        let taken = HeaderValue::try_from(self.names().join(", ")).expect("media types are a header value");
        Err(refused.header(header::ACCEPT, taken))
    }
}

/// The text of a header that is sent once: of two, one reader would take the first, and another the last.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839, section 3.1).
fn is_json(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    let Some(subtype) = media_type.strip_prefix("application/") else {
        return false;
    };
    let is_name = |name: &str| !name.is_empty() && !name.contains(['/', ' ', '\t']);
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(is_name)
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than this limit of its route.
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    /// The client was silent for 10 s, or has sent less than 500 bytes a second.
    #[error("the body came too slowly")]
    TooSlow,
    /// The client broke off, or sent what is not HTTP.
    #[error("the body broke off")]
    Broken,
    /// The memory for bodies is full.
    #[error("too many bodies at once")]
    Overloaded,
}

/// Why the body of a request failed, if it did: its handler may not say so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<OnceLock<BodyError>>);

impl Failure {
    pub fn get(&self) -> Option<BodyError> {
        self.0.get().copied()
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(limit) => Self::new(&problem::BODY_TOO_LARGE).member("limit", limit),
            BodyError::TooSlow => Self::new(&problem::REQUEST_TIMEOUT),
            BodyError::Broken => Self::new(&problem::MALFORMED),
            BodyError::Overloaded => Self::new(&problem::OVERLOADED).retry_after(buffered::RETRY_AFTER),
        }
    }
}

/// For handlers that read a [`Body`]: `?` answers what is wrong with it.
impl From<axum::Error> for Problem {
    fn from(error: axum::Error) -> Self {
        // A body around another wraps its errors once more.
        let known: Option<BodyError> = causes(&error).find_map(|error| error.downcast_ref().copied());
        known.map_or_else(|| Self::internal(error), Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    const PICTURE: Content = stream(9).of_types(&["image/png", "image/jpeg"]);

    fn answered(content: Content, request: Request<Body>) -> u16 {
        content
            .admit(request)
            .map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn a_route_takes_bodies_of_its_type_only() {
        for (content, media_type, status) in [
            (json(9), "application/json", 200),
            (json(9), "Application/JSON; charset=utf-8", 200),
            (json(9), "application/merge-patch+json", 200),
            (json(9), "application/+json", 415),
            (json(9), "application/a/b+json", 415),
            (json(9), "application/ +json", 415),
            (json(9), "text/json", 415),
            (json(9), "application/jsonp", 415),
            (json(9), "", 415),
            (stream(9), "", 200),
            (stream(9), "image/png", 200),
            (PICTURE, "IMAGE/PNG ; a=b", 200),
            (PICTURE, "image/jpeg", 200),
            (PICTURE, "image/png, image/jpeg", 415),
            (PICTURE, "image/gif", 415),
            (PICTURE, "", 415),
        ] {
            let request = Request::post("/").header("content-type", media_type);
            assert_eq!(
                answered(content, request.body("123456789".into()).unwrap()),
                status,
                "{media_type}"
            );
        }
        for (coding, status) in [("identity", 200), ("gzip", 415), ("identity, gzip", 415)] {
            let request = Request::post("/").header("content-encoding", coding);
            assert_eq!(
                answered(stream(9), request.body("1".into()).unwrap()),
                status,
                "{coding}"
            );
        }
    }

    #[test]
    fn a_body_of_another_type_is_answered_with_those_that_are_taken() {
        for (content, accept) in [(json(9), "application/json"), (PICTURE, "image/png, image/jpeg")] {
            let request = Request::post("/").header("content-type", "text/plain");
            let refused = content.admit(request.body("1".into()).unwrap()).unwrap_err();
            assert_eq!(refused.into_response().headers()["accept"], accept);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_no_failure_of_its_handler() {
        let chunks = futures_util::stream::iter(["12345", "67890"].map(Ok::<_, std::io::Error>));
        let request = Request::post("/").body(Body::from_stream(chunks)).unwrap();
        let Ok((request, _)) = stream(9).admit(request) else {
            panic!("its length is unknown");
        };
        let error = http_body_util::BodyExt::collect(request.into_body()).await.unwrap_err();
        assert_eq!(Problem::from(error).status(), 413);
        assert_eq!(Problem::from(axum::Error::new("a bug")).status(), 500);
    }

    #[test]
    fn a_header_that_is_sent_twice_hides_nothing() {
        for (name, first, second, status) in [
            ("content-type", "application/json", "text/plain", 415),
            ("content-type", "application/json", "application/json", 415),
            ("content-encoding", "identity", "gzip", 415),
            ("content-encoding", "identity", "identity", 200),
        ] {
            let mut request = Request::post("/").header(name, first).header(name, second);
            if name == "content-encoding" {
                request = request.header("content-type", "application/json");
            }
            assert_eq!(
                answered(json(9), request.body("1".into()).unwrap()),
                status,
                "{name} {second}"
            );
        }
    }

    #[test]
    fn a_body_that_says_that_it_is_too_large_is_not_read() {
        let request = || Request::post("/").body(Body::from("0123456789")).unwrap();
        assert_eq!(
            (answered(stream(9), request()), answered(stream(10), request())),
            (413, 200)
        );
    }
}
