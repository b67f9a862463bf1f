//! JSON, in requests and in answers.

use super::{Buffered, MediaType, strict::Strict};
use crate::problem::{self, FieldError, Problem};
use axum::{
    extract::{FromRequest, Request},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;
use serde_path_to_error::{Deserializer, Path, Segment, Track};

/// The longest detail of a value that does not fit, in characters.
const MAX_DETAIL: usize = 200;
/// The longest name in a pointer, in bytes. A pointer to what has a longer one ends at what holds it.
const MAX_NAME: usize = 200;

/// A value as JSON: an argument of handlers whose route takes [`super::json`], and an answer.
///
/// A body of another type is answered 415, one that is not JSON 400, and one whose values do not fit `T` 422, with a JSON
/// pointer to the first of them: serde stops there. A handler that checks more answers [`Problem::invalid_body`].
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        MediaType::Json.check(request.headers())?;
        let body = Box::pin(Buffered::read(request.into_body())).await?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let media_type = HeaderValue::from_static("application/json");
        match serde_json::to_vec(&self.0) {
            Ok(json) => ([(header::CONTENT_TYPE, media_type)], json).into_response(),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let value = T::deserialize(Strict(Deserializer::new(&mut parser, &mut track)));
    let value = value.map_err(|error| refusal(&track.path(), &error))?;
    parser.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refusal(path: &Path, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return malformed(error);
    }
    let message = error.to_string();
    let detail = message.rsplit_once(" at line ").map_or(&*message, |(detail, _)| detail);
    Problem::invalid_body(&[FieldError {
        detail: shortened(detail),
        pointer: pointer(path),
    }])
}

/// Serde repeats the value, escaped: an answer would be seven times as large as the body.
fn shortened(detail: &str) -> String {
    match detail.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail.to_owned(),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(&problem::MALFORMED_JSON).detail(format!("The body is not JSON: {error}."))
}

/// What is encoded in a fragment. More would be allowed (RFC 3986, section 3.5).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'$')
    .remove(b'@');

fn pointer(path: &Path) -> String {
    let mut pointer = "#".to_owned();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            // Not a place in the JSON.
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        if name.len() > MAX_NAME {
            break;
        }
        pointer.push('/');
        pointer.extend(utf8_percent_encode(&name, ENCODED));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Order {
        items: Vec<Item>,
        #[serde(default, rename = "a/b~ c")]
        odd: Option<u8>,
        by: Option<Carrier>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    enum Carrier {
        Ship { port: Item },
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Item {
        price: u32,
    }

    async fn refused(json: &str) -> Value {
        let answer = parse::<Order>(json.as_bytes()).unwrap_err().into_response();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_value_that_does_not_fit_is_pointed_at() {
        for (json, pointer, detail) in [
            (
                r#"{"items": [{"price": 1}, {"price": -1}]}"#,
                "#/items/1/price",
                "invalid value: integer `-1`, expected u32",
            ),
            (r#"{"items": [{}]}"#, "#/items/0", "missing field `price`"),
            (
                r#"{"items": [], "a/b~ c": 256}"#,
                "#/a~1b~0%20c",
                "invalid value: integer `256`, expected u8",
            ),
            ("7", "#", "invalid type: integer `7`, expected struct Order"),
            ("[1]", "#", "invalid type: sequence, expected struct Order"),
            ("[[], null, null]", "#", "invalid type: sequence, expected struct Order"),
            (
                r#"{"items": [[1]]}"#,
                "#/items/0",
                "invalid type: sequence, expected struct Item",
            ),
            (
                r#"{"items": [], "by": 7}"#,
                "#/by",
                "invalid type: integer `7`, expected enum Carrier",
            ),
            (
                r#"{"items": [], "by": {"Ship": {"port": [1]}}}"#,
                "#/by/Ship/port",
                "invalid type: sequence, expected struct Item",
            ),
        ] {
            let problem = refused(json).await;
            assert_eq!(problem["status"], 422, "{json}");
            assert_eq!(problem["type"], "/problems/invalid-body");
            let error = json!([{"detail": detail, "pointer": pointer}]);
            assert_eq!(problem["errors"], error, "{json}");
        }
    }

    #[tokio::test]
    async fn what_a_client_sends_does_not_make_the_answer_large() {
        let long = "\u{7f}".repeat(100_000);
        let odd = refused(&format!(r#"{{"items": [], "a/b~ c": "{long}"}}"#)).await;
        assert_eq!(
            (&odd["status"], &odd["errors"][0]["pointer"]),
            (&422.into(), &"#/a~1b~0%20c".into())
        );
        assert!(odd.to_string().len() < 2_000, "{}", odd.to_string().len());
        type Prices = std::collections::HashMap<String, std::collections::HashMap<String, u32>>;
        let json = format!(r#"{{"tea": {{"{long}": -1}}}}"#);
        let answer = parse::<Prices>(json.as_bytes()).unwrap_err().into_response();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let named: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(named["errors"][0]["pointer"], "#/tea");
        assert!(body.len() < 2_000, "{}", body.len());
    }

    #[tokio::test]
    async fn what_is_not_json_is_not_a_value_that_does_not_fit() {
        for json in [
            "",
            "{",
            "nul",
            "{\"items\": []} x",
            "{'items': []}",
            "\u{feff}{\"items\": []}",
            "{\"items\": [}",
        ] {
            let problem = refused(json).await;
            assert_eq!(problem["status"], 400, "{json:.20}: {problem}");
            assert_eq!(problem["type"], "/problems/malformed-json");
        }
        assert_eq!(parse::<String>(b"\"\xff\"").unwrap_err().status(), 400);
        let deep = "[".repeat(200_000);
        assert_eq!(parse::<Value>(deep.as_bytes()).unwrap_err().status(), 400);
    }
}
