//! `GET /health/storage`: whether the bucket can be read with these credentials.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use shared::{
    config::Env,
    health::{self, Check, Measurement, Report, Status, Timestamp, milliseconds},
    runtime::{Route, Service},
    storage::{Reason, Storage},
};
use std::time::Duration;

const PATH: &str = "/health/storage";

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let storage = Storage::from_env(env);
    let bucket = storage.bucket().map(str::to_owned);
    let probe = move || {
        let storage = storage.clone();
        async move { storage.probe().await }
    };
    let report = move |found, latency| report(found, latency, bucket.as_deref());
    let check = Check::new(health::Settings::from_env(env), probe, report);
    Service::probe(Route::get(PATH, health_storage).public(), check)
}

/// The bucket can be read with these credentials.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = PATH, operation_id = "healthStorage", tag = "health", responses(health::Responses<StorageReport>),
))]
async fn health_storage(State(check): State<Check>, headers: HeaderMap) -> Response {
    check.report().await.respond(&headers)
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(health_storage), components(schemas(StorageReport, health::HealthJson)))]
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

/// 200 when the bucket answered about the sentinel object, 503 otherwise.
fn report(found: Option<Result<(), Reason>>, latency: Duration, bucket: Option<&str>) -> Report {
    let reason = found.unwrap_or(Err(Reason::Timeout)).err();
    let (status, storage) = match reason {
        None => (Status::Healthy, Access::Accessible),
        Some(Reason::NotConfigured) => (Status::Unhealthy, Access::NotConfigured),
        Some(_) => (Status::Unhealthy, Access::Inaccessible),
    };
    let response_time = Measurement::response_time("storage:responseTime", latency);
    let timestamp = Timestamp::now();
    let body = StorageReport {
        status,
        storage,
        bucket,
        latency_ms: milliseconds(latency),
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
