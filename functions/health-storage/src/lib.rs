//! `GET /health/storage`: can the evidence bucket be read with these credentials?

use axum::{Router, extract::State, http::HeaderMap, response::Response, routing::get};
use serde::Serialize;
use shared::{
    config::{self, Env},
    health::{Check, Measurement, Report, Status, milliseconds},
    runtime::{Outcome, Responses, Service},
    storage::{Reason, Storage},
};
use std::time::Duration;

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let storage = Storage::connect_lazy(config::Storage::from_env(env));
    let check = check(storage, config::Health::from_env(env));
    Service {
        router: router(check.clone()),
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

async fn health_storage(State(check): State<Check>, headers: HeaderMap) -> Response {
    check.report().await.respond(&headers)
}

#[derive(Serialize)]
struct Body<'a> {
    storage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    latency_ms: f64,
}

/// 200 when the sentinel was looked up, 503 otherwise.
fn report(found: Option<Result<(), Reason>>, latency: Duration, bucket: Option<&str>) -> Report {
    let found = found.unwrap_or(Err(Reason::Timeout));
    let (status, storage, reason) = match found {
        Ok(()) => (Status::Healthy, "accessible", None),
        Err(Reason::NotConfigured) => (Status::Unhealthy, "not_configured", Some(Reason::NotConfigured)),
        Err(reason) => (Status::Unhealthy, "inaccessible", Some(reason)),
    };
    let latency_ms = milliseconds(latency);
    let body = Body {
        storage,
        bucket,
        latency_ms,
    };
    let response_time = Measurement {
        name: "storage:responseTime",
        component: "datastore",
        observed: Some((latency_ms, "ms")),
    };
    Report::new(status, body, reason.map(Reason::as_str), response_time)
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
