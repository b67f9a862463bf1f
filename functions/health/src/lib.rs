//! `GET /health`: is the process alive? Touches nothing, depends on no setting.

use shared::{config::Env, runtime::Service};

/// The function as every life runs it: every function has this route.
pub fn service(_: &Env) -> Service {
    Service::new([])
}

/// What the API document says of this function.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(shared::health::process::health))]
pub struct Api;
