//! `GET /health/db`: does Postgres answer, and is its schema the one this build expects?

use axum::{Router, extract::State, http::HeaderMap, response::Response, routing::get};
use serde::Serialize;
use shared::{
    config::{self, Env},
    database::{Database, Reason, Schema},
    health::{Check, Measurement, Report, Status, milliseconds},
    runtime::{Outcome, Responses, Service},
};
use std::time::Duration;

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let database = Database::connect_lazy(config::Database::from_env(env));
    let check = check(database, config::Health::from_env(env));
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
    Router::new().route("/health/db", get(health_db)).with_state(check)
}

/// The check behind the route and the job.
pub fn check(database: Database, settings: config::Health) -> Check {
    let probe = move || {
        let database = database.clone();
        async move { database.schema().await }
    };
    Check::new(settings, probe, move |found, latency| {
        report(found, latency, settings.timeout)
    })
}

async fn health_db(State(check): State<Check>, headers: HeaderMap) -> Response {
    check.report().await.respond(&headers)
}

#[derive(Serialize)]
struct Body {
    database: &'static str,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
}

/// 200 when healthy or degraded (`schema_ahead`; `slow`: more than half of the deadline), 503 otherwise.
fn report(found: Option<Result<Schema, Reason>>, latency: Duration, deadline: Duration) -> Report {
    let found = found.unwrap_or(Err(Reason::Timeout));
    let schema = found.ok();
    let fault = found.map_or_else(Some, |schema| schema.fault);
    let (status, reason) = match (fault, schema) {
        (Some(fault), _) => (Status::Unhealthy, Some(fault.as_str())),
        (None, Some(schema)) if schema.is_ahead() => (Status::Degraded, Some("schema_ahead")),
        _ if latency > deadline / 2 => (Status::Degraded, Some("slow")),
        _ => (Status::Healthy, None),
    };
    let latency_ms = milliseconds(latency);
    let body = Body {
        database: if fault.is_none() { "connected" } else { "error" },
        latency_ms,
        schema,
    };
    let response_time = Measurement {
        name: "postgres:responseTime",
        component: "datastore",
        observed: Some((latency_ms, "ms")),
    };
    Report::new(status, body, reason, response_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);
    const CURRENT: Schema = Schema {
        current: 3,
        expected: 3,
        fault: None,
    };

    fn written(found: Option<Result<Schema, Reason>>, latency: Duration) -> serde_json::Value {
        serde_json::from_str(report(found, latency, DEADLINE).json()).unwrap()
    }

    #[test]
    fn a_deadline_that_passed_is_a_timeout() {
        let report = written(None, DEADLINE);
        assert_eq!(report["status"], "unhealthy");
        assert_eq!(report["database"], "error");
        assert_eq!(report["reason"], "timeout");
    }

    #[test]
    fn a_schema_that_is_behind_is_unhealthy_and_shows_both_versions() {
        let behind = Schema {
            current: 2,
            fault: Some(Reason::SchemaBehind),
            ..CURRENT
        };
        let report = written(Some(Ok(behind)), Duration::from_millis(1));
        assert_eq!(report["status"], "unhealthy");
        assert_eq!(report["reason"], "schema_behind");
        assert_eq!(report["schema"], serde_json::json!({"current": 2, "expected": 3}));
    }

    #[test]
    fn a_schema_that_is_ahead_and_an_answer_that_is_slow_are_degraded() {
        let ahead = Schema { current: 4, ..CURRENT };
        let report = written(Some(Ok(ahead)), Duration::from_millis(1));
        assert_eq!(
            (&report["status"], &report["reason"]),
            (&"degraded".into(), &"schema_ahead".into())
        );
        let report = written(Some(Ok(CURRENT)), Duration::from_millis(1001));
        assert_eq!(
            (&report["status"], &report["reason"]),
            (&"degraded".into(), &"slow".into())
        );
        assert_eq!(report["database"], "connected");
    }

    #[test]
    fn a_healthy_report_has_no_reason() {
        let report = written(Some(Ok(CURRENT)), Duration::from_micros(1930));
        assert_eq!(report["status"], "healthy");
        assert_eq!(report["latency_ms"], 1.9);
        assert_eq!(report.get("reason"), None);
    }
}
