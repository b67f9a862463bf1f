//! Parameters of the path and of the query. One that does not fit is [`problem::INVALID_PARAMETER`], which names it.

use crate::problem::{self, Problem};
use axum::{
    extract::{
        self, FromRequestParts, RawPathParams,
        path::{ErrorKind, FailedToDeserializePathParams},
        rejection::PathRejection,
    },
    http::request::Parts,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_path_to_error::Segment;

/// The parameters of the path: a value for one, a tuple in their order, or a struct with their names.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

/// The parameters of the query, as a struct with their names. One that may come several times is a `Vec` with
/// `#[serde(default)]`; a type around it needs `#[serde(transparent)]`. A number without a digit is none where it is an `Option`.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(values)) => Ok(Self(values)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let names = RawPathParams::from_request_parts(parts, state).await.ok();
                let names = names.iter().flatten().map(|(name, _)| name.to_owned()).collect();
                Err(path_problem(error, names))
            }
            Err(error) => Err(Problem::internal(error)),
        }
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        serde_path_to_error::deserialize(serde_html_form::Deserializer::from_bytes(query.as_bytes()))
            .map(Self)
            .map_err(|error| {
                let detail = match error.inner().to_string() {
                    detail if detail == "unsupported value" => "it comes more than once".to_owned(),
                    detail => detail,
                };
                match error.path().iter().next() {
                    Some(Segment::Map { key }) => invalid(Some(key), detail),
                    _ => invalid(None, detail),
                }
            })
    }
}

/// An error of the client, or of the function: then its type does not belong to its path.
fn path_problem(error: FailedToDeserializePathParams, names: Vec<String>) -> Problem {
    let only = |names: Vec<String>| <[String; 1]>::try_from(names).ok().map(|[name]| name);
    let expected = |expected| format!("not a valid {expected}");
    let (name, detail) = match error.into_kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => (Some(key), expected(expected_type)),
        ErrorKind::ParseErrorAtIndex {
            index, expected_type, ..
        } => (names.into_iter().nth(index), expected(expected_type)),
        ErrorKind::ParseError { expected_type, .. } => (only(names), expected(expected_type)),
        ErrorKind::InvalidUtf8InPathParam { key } => (Some(key), "not UTF-8".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => (Some(key), message),
        ErrorKind::Message(message) => (only(names), message),
        kind => return Problem::internal(kind),
    };
    invalid(name.as_deref(), detail)
}

/// [`problem::INVALID_PARAMETER`]: what is wrong with this parameter, or with all of the query.
pub fn invalid(parameter: Option<&str>, detail: String) -> Problem {
    #[derive(Serialize)]
    struct ParameterError<'a> {
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter: Option<&'a str>,
    }
    Problem::new(&problem::INVALID_PARAMETER).member("errors", [ParameterError { detail, parameter }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Route, Service};
    use axum::{body::Body, http::Request, response::Response};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    #[derive(serde::Deserialize)]
    struct Page {
        #[serde(default)]
        after: u32,
        before: Option<u32>,
        order: Option<Order>,
        #[serde(default)]
        tag: Vec<String>,
        #[serde(default)]
        size: Vec<u8>,
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Newest,
        Oldest,
    }

    #[derive(serde::Deserialize)]
    struct Place {
        shelf: u8,
        book: std::net::IpAddr,
    }

    async fn answer(path: &str) -> Response {
        let routes = [
            Route::get("/one/{id}", async |Path(id): Path<u32>| id.to_string()),
            Route::get("/order/{order}", async |Path(_): Path<Order>| {}),
            Route::get("/two/{id}/{name}", async |Path((id, _)): Path<(u8, String)>| {
                id.to_string()
            }),
            Route::get("/named/{shelf}/{book}", async |Path(place): Path<Place>| {
                format!("{} {}", place.shelf, place.book)
            }),
            Route::get("/wrong/{id}", async |Path(_): Path<(u8, u8)>| {}),
            Route::get("/query", async |Query(page): Query<Page>| {
                let newest = matches!(page.order, Some(Order::Newest));
                format!(
                    "{} {newest} {:?} {:?}",
                    page.before.unwrap_or(page.after),
                    page.tag,
                    page.size
                )
            }),
        ];
        let request = Request::get(path).body(Body::empty()).unwrap();
        Service::new(routes.map(Route::public))
            .router()
            .oneshot(request)
            .await
            .unwrap()
    }

    async fn problem(path: &str) -> Value {
        let body = answer(path).await.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{path}: {body:?}"))
    }

    #[tokio::test]
    async fn a_parameter_that_does_not_fit_is_named() {
        for (path, parameter, detail) in [
            ("/one/x", "id", "not a valid u32"),
            ("/one/%ff", "id", "not UTF-8"),
            ("/two/256/x", "id", "not a valid u8"),
            ("/named/-1/::1", "shelf", "not a valid u8"),
            ("/named/1/here", "book", "invalid IP address syntax"),
            (
                "/order/best",
                "order",
                "unknown variant `best`, expected `newest` or `oldest`",
            ),
            ("/query?after=x", "after", "invalid digit found in string"),
            ("/query?after=", "after", "cannot parse integer from empty string"),
            ("/query?before=x", "before", "invalid digit found in string"),
            (
                "/query?size=1&size=256",
                "size",
                "number too large to fit in target type",
            ),
            ("/query?after=1&after=1", "after", "it comes more than once"),
            ("/query?order=newest&order=newest", "order", "it comes more than once"),
            (
                "/query?order=best",
                "order",
                "unknown variant `best`, expected `newest` or `oldest`",
            ),
        ] {
            let problem = problem(path).await;
            assert_eq!(problem["type"], "/problems/invalid-parameter", "{path}: {problem}");
            let error = json!([{"detail": detail, "parameter": parameter}]);
            assert_eq!(
                (&problem["status"], &problem["errors"]),
                (&400.into(), &error),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn a_path_that_its_handler_cannot_have_is_an_error_of_the_function() {
        let problem = problem("/wrong/1").await;
        assert_eq!(problem["type"], "/problems/internal");
    }

    #[tokio::test]
    async fn parameters_that_fit_reach_the_handler() {
        for (path, expected) in [
            ("/one/7", "7"),
            ("/two/7/a%2Fb", "7"),
            ("/named/7/::1", "7 ::1"),
            ("/query", "0 false [] []"),
            ("/query?after=7&order=newest&unknown=1&unknown=2", "7 true [] []"),
            ("/query?before=&after=1", "1 false [] []"),
            ("/query?before=2&after=1", "2 false [] []"),
            ("/query?tag=a&size=2", "0 false [\"a\"] [2]"),
            (
                "/query?tag=b+c&size=2&tag=%61&tag=&size=1",
                "0 false [\"b c\", \"a\", \"\"] [2, 1]",
            ),
        ] {
            let body = answer(path).await.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, expected, "{path}");
        }
    }
}
