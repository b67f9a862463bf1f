//! The errors that HTTP clients see: problem details (RFC 9457).

mod types;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{borrow::Cow, fmt::Display, time::Duration};

pub use axum::http::StatusCode;
pub use types::*;

/// A kind of problem: a constant beside the handler that answers it, which its route declares
/// ([`crate::runtime::Route::problems`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProblemType {
    /// Lower-case words with hyphens. The `type` of the answer is `/problems/` and this: clients branch on it.
    pub slug: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// A few words that are the same each time.
    pub title: &'static str,
    /// What to do about it, in a sentence: for the API document, and the `detail` of an answer that has no other.
    pub detail: &'static str,
}

/// An extension of a response: an error whose body leaves as it is, such as a report of health, or one that another protocol
/// prescribes. The runtime turns any other error into a problem.
#[derive(Clone, Copy, Debug)]
pub struct AsIs;

/// Marks the answer of a problem, in debug builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slug(pub &'static str);

/// Why a request was not served. A function's own errors turn into it: `impl From<Error> for Problem`.
///
/// Its texts reach strangers: they speak of the request or of the function, never of a dependency.
#[derive(Clone, Debug)]
pub struct Problem {
    /// `None`: the status says it all (`about:blank`).
    slug: Option<&'static str>,
    status: StatusCode,
    title: &'static str,
    detail: Cow<'static, str>,
    /// Boxed, because few problems have any: a `Result` with a `Problem` stays small.
    extensions: Option<Box<Extensions>>,
}

#[derive(Clone, Debug, Default)]
struct Extensions {
    /// Each as `,"name":value`. JSON already, so that this module needs no tree of values.
    members: String,
    headers: HeaderMap,
}

/// The members of RFC 9457 that every problem has. Some have more.
#[derive(Serialize)]
struct Details {
    /// What kind of problem it is: a path that ends in its slug.
    r#type: Cow<'static, str>,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What this request ran into.
    detail: Cow<'static, str>,
}

/// A part of a body that is not valid: a member of `errors`, as in the example of RFC 9457, section 3.
#[derive(Clone, Debug, Serialize)]
pub struct FieldError {
    /// What is wrong with it.
    pub detail: String,
    /// Where it is: a JSON pointer as a fragment (RFC 6901, section 6), such as `#/items/0/price`.
    pub pointer: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: &ProblemType) -> Self {
        Self {
            slug: Some(kind.slug),
            status: kind.status,
            title: kind.title,
            detail: kind.detail.into(),
            extensions: None,
        }
    }

    /// A problem that its status describes, for errors of libraries: its type is `about:blank`.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            slug: None,
            status,
            title,
            detail: title.into(),
            extensions: None,
        }
    }

    /// [`INTERNAL`], with its cause in the log only.
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(error = %cause, "the function failed");
        Self::new(&INTERNAL)
    }

    /// [`INVALID_BODY`]: these parts of the body do not fit. For what a type cannot say, such as one value that depends on
    /// another:
    ///
    /// ```
    /// # use shared::problem::{FieldError, Problem};
    /// fn check(first: u32, last: u32) -> Result<(), Problem> {
    ///     if first <= last {
    ///         return Ok(());
    ///     }
    ///     let detail = "before first".to_owned();
    ///     let pointer = "#/last".to_owned();
    ///     Err(Problem::invalid_body(&[FieldError { detail, pointer }]))
    /// }
    /// ```
    pub fn invalid_body(errors: &[FieldError]) -> Self {
        Self::new(&INVALID_BODY).member("errors", errors)
    }

    /// What this request ran into, in a sentence.
    #[must_use]
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// One more member, with a name that no other has (RFC 9457, section 3.2).
    ///
    /// # Panics
    /// In debug builds: the name is one that every problem has.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Serialize) -> Self {
        debug_assert!(
            !["type", "title", "status", "detail", "instance"].contains(&name),
            "every problem has the member {name}"
        );
        let value = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
        self.extensions().members += &format!(",{}:{value}", json(name));
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.extensions().headers.insert(name, value);
        self
    }

    /// `Retry-After`, in whole seconds, rounded up (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_millis().div_ceil(1000) as u64;
        self.header(header::RETRY_AFTER, seconds.into())
    }

    /// The status of its answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Which kind it is; `None` for an error of a library.
    pub fn slug(&self) -> Option<&'static str> {
        self.slug
    }

    fn extensions(&mut self) -> &mut Extensions {
        self.extensions.get_or_insert_default()
    }

    fn json(&self) -> String {
        let details = Details {
            r#type: match self.slug {
                Some(slug) => format!("/problems/{slug}").into(),
                None => "about:blank".into(),
            },
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        };
        let mut json = json(&details);
        if let Some(extensions) = &self.extensions {
            json.insert_str(json.len() - 1, &extensions.members);
        }
        json
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("text and numbers")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(extensions) = self.extensions {
            *headers = extensions.headers;
        }
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if cfg!(debug_assertions) {
            self.slug.map(|slug| response.extensions_mut().insert(Slug(slug)));
        }
        response
    }
}

/// The media type of problems (RFC 9457, section 6.1).
pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OUT_OF_STOCK: ProblemType = ProblemType {
        slug: "out-of-stock",
        status: StatusCode::CONFLICT,
        title: "Out of Stock",
        detail: "The item is not available.",
    };

    fn written(problem: &Problem) -> Value {
        serde_json::from_str(&problem.json()).unwrap()
    }

    #[test]
    fn a_problem_has_the_members_of_its_kind_and_of_its_own() {
        let problem = Problem::new(&OUT_OF_STOCK);
        let expected = json!({
            "type": "/problems/out-of-stock", "title": "Out of Stock", "status": 409, "detail": "The item is not available.",
        });
        assert_eq!(written(&problem), expected);
        let problem = problem
            .detail("\"Tea\" is sold out.\n")
            .member("left", 0)
            .member("again", json!({"at": null}));
        let mut expected = expected;
        expected["detail"] = "\"Tea\" is sold out.\n".into();
        expected["left"] = 0.into();
        expected["again"] = json!({"at": null});
        assert_eq!(written(&problem), expected);
    }

    #[test]
    fn its_headers_reach_the_answer_and_its_media_type_stands() {
        let problem = Problem::new(&OUT_OF_STOCK)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .retry_after(Duration::from_millis(1001));
        let answer = problem.into_response();
        assert_eq!(answer.status(), 409);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_value_that_json_cannot_hold_is_null() {
        let value = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(
            written(&Problem::new(&OUT_OF_STOCK).member("map", value))["map"],
            Value::Null
        );
    }

    #[test]
    fn a_problem_is_small_enough_for_the_result_of_a_handler() {
        assert!(size_of::<Problem>() <= 72, "{}", size_of::<Problem>());
    }

    #[test]
    fn every_kind_of_the_runtime_has_a_slug_of_its_own() {
        let slugs: std::collections::BTreeSet<_> = RUNTIME.iter().map(|kind| kind.slug).collect();
        assert_eq!(slugs.len(), RUNTIME.len());
        for kind in RUNTIME {
            let fits = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(kind.slug.chars().all(fits), "{}", kind.slug);
            assert!(
                kind.status.is_client_error() || kind.status.is_server_error(),
                "{}",
                kind.slug
            );
        }
    }
}
