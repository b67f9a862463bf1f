//! `GET /health`: is the process alive? Touches nothing, depends on no setting.

use axum::Router;
use shared::{
    health::process,
    runtime::{Outcome, Responses, Service},
};

/// The function as every life runs it.
pub fn service() -> Service {
    Service {
        router: router(),
        responses: Responses::Buffered,
        check: Box::pin(async {
            Outcome {
                success: true,
                report: process::report().json().to_owned(),
            }
        }),
    }
}

/// The route of this function.
pub fn router() -> Router {
    Router::new().route("/health", process::alive())
}

/// What the API document says of this function.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(shared::health::process::health))]
pub struct Api;
