//! What the issuer publishes: its key set, and the document by which clients find that.

use super::{ISSUER, Issuer, key::ALGORITHM};
use axum::extract::State;
use serde_json::{Value, json};
use shared::{
    body::Json,
    runtime::{Route, Service},
};
use std::net::SocketAddr;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEY_SET: &str = "/.well-known/jwks.json";

/// Its routes, at this address.
pub fn service(issuer: &Issuer, address: SocketAddr) -> Service {
    Service::new([
        Route::get(DISCOVERY, answer).public().with_state(discovery(address)),
        Route::get(KEY_SET, answer).public().with_state(issuer.key_set()),
    ])
}

async fn answer(State(document): State<Value>) -> Json<Value> {
    Json(document)
}

/// OpenID Connect Discovery 1.0, section 3, without the endpoints of a sign-in, which this issuer does not have.
fn discovery(address: SocketAddr) -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("http://{address}{KEY_SET}"),
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
    })
}
