//! The ways in which an issuer fails.

use super::{MOVED, SigningKey};
use axum::{
    Json,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// What is wrong with the issuer's answers.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// 503.
    Unavailable,
    /// Nothing for this time, then the keys.
    Slow(Duration),
    /// A page, with 200.
    Html,
    /// A redirect to a place that has the keys.
    Redirect,
    /// 10 MB before the keys.
    Huge,
    /// The connection breaks within the keys.
    Truncated,
    /// A key set without keys.
    Empty,
    /// The keys of somebody else.
    OtherKeys,
    /// An array in place of the key set.
    Array,
    /// A key set whose `keys` are there twice.
    Twice,
    /// A key that is not on its curve.
    OffCurve,
    /// A key for an algorithm that few accept.
    OtherAlgorithm,
}

impl Fault {
    /// What the issuer answers in place of these keys.
    pub(super) async fn answer(self, keys: Value) -> Response {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Self::Slow(delay) => {
                sleep(delay).await;
                Json(keys).into_response()
            }
            Self::Html => (
                [(header::CONTENT_TYPE, "text/html")],
                "<!doctype html><title>Sign in</title>",
            )
                .into_response(),
            Self::Redirect => Redirect::temporary(MOVED).into_response(),
            Self::Huge => format!("{}{keys}", " ".repeat(10_000_000)).into_response(),
            Self::Truncated => {
                let mut half = keys.to_string();
                half.truncate(half.len() / 2);
                Body::from_stream(stream::iter([Ok(half), Err("the issuer breaks off")])).into_response()
            }
            Self::Empty => Json(json!({"keys": []})).into_response(),
            Self::Array => Json(json!([keys["keys"]])).into_response(),
            Self::Twice => format!(r#"{{"keys": [], "keys": {}}}"#, keys["keys"]).into_response(),
            Self::OffCurve => {
                let x = "A".repeat(43);
                Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": x}]})).into_response()
            }
            Self::OtherAlgorithm => Json(json!({"keys": [SigningKey::eddsa().public()]})).into_response(),
            Self::OtherKeys => Json(json!({"keys": [SigningKey::es256().public()]})).into_response(),
        }
    }
}
