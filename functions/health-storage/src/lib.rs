//! `GET /health/storage`: can the evidence bucket be read with these credentials?

use axum::{Router, extract::State, http::HeaderMap, response::Response, routing::get};
use serde::Serialize;
use shared::{
    config::{self, Env},
    health::{Check, Measurement, Report, Status, Timestamp, milliseconds, process},
    runtime::{Outcome, Responses, Service},
    storage::{Reason, Storage},
};
use std::time::Duration;

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let storage = Storage::from_env(env);
    let check = check(storage, config::Health::from_env(env));
    Service {
        // For the probes of a platform.
        router: router(check.clone()).route("/health", process::alive()),
        responses: Responses::Buffered,
        check: Box::pin(async move {
            let report = check.report().await;
            Outcome {
                success: report.status != Status::Unhealthy,
                report: report.json().to_owned(),
            }
        }),
    }
}

/// The route of this function.
pub fn router(check: Check) -> Router {
    Router::new()
        .route("/health/storage", get(health_storage))
        .with_state(check)
}

/// The check behind the route and the job.
pub fn check(storage: Storage, settings: config::Health) -> Check {
    let bucket = storage.bucket().map(str::to_owned);
    let probe = move || {
        let storage = storage.clone();
        async move { storage.probe().await }
    };
    Check::new(settings, probe, move |found, latency| {
        report(found, latency, bucket.as_deref())
    })
}

/// The evidence bucket can be read with these credentials.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/health/storage", operation_id = "healthStorage", tag = "health",
    responses(
        (status = 200, description = "The bucket can be read.", content(
            (StorageReport = "application/json"),
            (shared::health::HealthJson = "application/health+json"),
        )),
        (status = 503, description = "The bucket cannot be relied on.", content(
            (StorageReport = "application/json"),
            (shared::health::HealthJson = "application/health+json"),
        )),
        (status = "default", description = "The request was not one to serve.",
            body = shared::problem::Details, content_type = "application/problem+json"),
    ),
))]
async fn health_storage(State(check): State<Check>, headers: HeaderMap) -> Response {
    check.report().await.respond(&headers)
}

/// What the API document says of this function.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(health_storage))]
pub struct Api;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct StorageReport<'a> {
    status: Status,
    storage: Access,
    /// The bucket's name; missing where none is configured.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    /// How long the check took, connecting included.
    latency_ms: f64,
    /// Why it is not `healthy`.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = StorageAccess))]
#[serde(rename_all = "snake_case")]
enum Access {
    Accessible,
    Inaccessible,
    NotConfigured,
}

/// 200 when the sentinel was looked up, 503 otherwise.
fn report(found: Option<Result<(), Reason>>, latency: Duration, bucket: Option<&str>) -> Report {
    let reason = found.unwrap_or(Err(Reason::Timeout)).err();
    let (status, storage) = match reason {
        None => (Status::Healthy, Access::Accessible),
        Some(Reason::NotConfigured) => (Status::Unhealthy, Access::NotConfigured),
        Some(_) => (Status::Unhealthy, Access::Inaccessible),
    };
    let latency_ms = milliseconds(latency);
    let timestamp = Timestamp::now();
    let response_time = Measurement {
        name: "storage:responseTime",
        component: "datastore",
        observed: Some((latency_ms, "ms")),
    };
    let body = StorageReport {
        status,
        storage,
        bucket,
        latency_ms,
        reason,
        timestamp,
    };
    Report::new(status, reason.map(Reason::as_str), timestamp, response_time, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(found: Option<Result<(), Reason>>, bucket: Option<&str>) -> serde_json::Value {
        serde_json::from_str(report(found, Duration::from_micros(1930), bucket).json()).unwrap()
    }

    #[test]
    fn a_bucket_that_nobody_named_is_not_configured() {
        let report = written(Some(Err(Reason::NotConfigured)), None);
        assert_eq!(report["status"], "unhealthy");
        assert_eq!(report["storage"], "not_configured");
        assert_eq!(report["reason"], "not_configured");
        assert_eq!(report.get("bucket"), None);
    }

    #[test]
    fn a_deadline_that_passed_is_a_timeout() {
        let report = written(None, Some("evidence"));
        assert_eq!(report["storage"], "inaccessible");
        assert_eq!(report["reason"], "timeout");
        assert_eq!(report["bucket"], "evidence");
    }

    #[test]
    fn a_bucket_that_can_be_read_is_accessible() {
        let report = written(Some(Ok(())), Some("evidence"));
        assert_eq!(report["status"], "healthy");
        assert_eq!(report["storage"], "accessible");
        assert_eq!(report["latency_ms"], 1.9);
        assert_eq!(report.get("reason"), None);
    }
}
