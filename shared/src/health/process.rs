//! `GET /health`: the health of the process itself. Every function has this route, for the probes of a platform.

use super::{Measurement, Report, Status, Timestamp};
use axum::{http::HeaderMap, response::Response};
use serde::Serialize;
use std::{sync::LazyLock, time::Instant};

/// The path that every function has, for the probes of a platform.
pub const PATH: &str = "/health";

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Starts the clock of the uptime.
pub fn started() {
    LazyLock::force(&STARTED);
}

/// The process is alive.
///
/// Touches nothing, and depends on no setting of a dependency.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = PATH, operation_id = "health", tag = "health",
    responses(
        (status = 200, description = "The process answers.", content(
            (HealthReport = "application/json"),
            (super::HealthJson = "application/health+json"),
        )),
    ),
))]
pub async fn health(headers: HeaderMap) -> Response {
    report().respond(&headers)
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct HealthReport {
    /// `healthy`, for as long as the process can answer at all.
    status: Status,
    timestamp: Timestamp,
}

/// The report of a process that runs.
pub fn report() -> Report {
    let uptime = Measurement {
        name: "uptime",
        component: "system",
        observed: Some((STARTED.elapsed().as_secs_f64().round(), "s")),
    };
    let (status, timestamp) = (Status::Healthy, Timestamp::now());
    Report::new(status, None, timestamp, uptime, &HealthReport { status, timestamp })
}
