//! What the page `/streams` asks of `local`, beside the routes of the function: a token, and a writer that outlives the page.

mod model;
mod token;

use crate::issuer::Issuer;
use shared::{
    config::Env,
    runtime::{ORIGIN_REFUSED, Route, Service},
};
use std::sync::Arc;

const TOKEN: &str = "/streams/token";
const MODEL: &str = "/streams/model/{*path}";

/// Both routes, for the functions with these settings.
pub fn service(issuer: Issuer, env: &Env) -> Service {
    let token = Route::post(TOKEN, token::answer)
        .public()
        .problems(&[ORIGIN_REFUSED])
        .with_state(Arc::new(issuer));
    // Public, because it relays the caller's token: the function refuses who may not append.
    let model = Route::post(MODEL, model::answer)
        .public()
        .with_state(model::instance(env));
    Service::new([token, model])
}
