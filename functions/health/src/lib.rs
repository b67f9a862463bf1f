//! `GET /health`: whether the process is alive. The check does no I/O and depends on no setting.

use shared::{config::Env, runtime::Service};

/// The function as every life runs it. The runtime adds `GET /health` to every function, so this one declares no route.
pub fn service(_: &Env) -> Service {
    Service::new([])
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(shared::health::process::health))]
pub struct Api;
