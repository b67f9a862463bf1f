//! `GET /health`: is the process alive? Touches nothing, depends on no setting.

use axum::{Router, http::HeaderMap, response::Response, routing::get};
use shared::{
    health::{Measurement, Report, Status},
    runtime::{Outcome, Responses, Service},
};
use std::{sync::LazyLock, time::Instant};

/// The function as every life runs it.
pub fn service() -> Service {
    Service {
        router: router(),
        responses: Responses::Buffered,
        check: Box::pin(async {
            Outcome {
                success: true,
                report: report().json().to_owned(),
            }
        }),
    }
}

/// The route of this function.
pub fn router() -> Router {
    LazyLock::force(&STARTED);
    Router::new().route("/health", get(health))
}

/// 200 `{"status":"healthy","timestamp":"..."}` for as long as the process can answer at all.
async fn health(headers: HeaderMap) -> Response {
    report().respond(&headers)
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

fn report() -> Report {
    let uptime = Measurement {
        name: "uptime",
        component: "system",
        observed: Some((STARTED.elapsed().as_secs_f64().round(), "s")),
    };
    Report::new(Status::Healthy, (), None, uptime)
}
