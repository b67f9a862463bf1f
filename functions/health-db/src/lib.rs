//! `GET /health/db`: whether Postgres answers, and its schema is the one this build expects.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use shared::{
    closed_set,
    config::Env,
    database::{self, Database, Schema},
    health::{self, Check, Measurement, Report, Status, Timestamp, milliseconds},
    runtime::{Route, Service},
};
use std::time::Duration;

const PATH: &str = "/health/db";

/// The function as every life runs it.
pub fn service(env: &Env) -> Service {
    let database = Database::from_env(env);
    let settings = health::Settings::from_env(env);
    let probe = move || {
        let database = database.clone();
        async move { database.schema(settings.timeout).await }
    };
    let report = move |found, latency| report(found, latency, settings.timeout);
    Service::probe(
        Route::get(PATH, health_db).public(),
        Check::new(settings, probe, report),
    )
}

/// Postgres answers, and its schema is the one this build expects.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = PATH, operation_id = "healthDatabase", tag = "health", responses(health::Responses<DatabaseReport>),
))]
async fn health_db(State(check): State<Check>, headers: HeaderMap) -> Response {
    check.report().await.respond(&headers)
}

/// This function's part of the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(health_db), components(schemas(DatabaseReport, health::HealthJson)))]
pub struct Api;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct DatabaseReport {
    status: Status,
    database: Connection,
    /// How long the check took, connecting included.
    latency_ms: f64,
    /// Missing where Postgres could not be asked.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
    /// Why it is not `healthy`.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
enum Connection {
    Connected,
    Error,
}

#[derive(Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DatabaseReason))]
#[serde(untagged)]
enum Reason {
    Unhealthy(database::Reason),
    Degraded(Notice),
}

closed_set! {
    /// Why Postgres is degraded.
    #[cfg_attr(feature = "openapi", schema(as = DatabaseNotice))]
    enum Notice {
        /// A newer release has migrated already.
        SchemaAhead = "schema_ahead",
        /// The check took more than half of its deadline.
        Slow = "slow",
    }
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy(reason) => reason.as_str(),
            Self::Degraded(notice) => notice.as_str(),
        }
    }
}

/// 200 when healthy or degraded, 503 otherwise.
fn report(found: Option<Result<Schema, database::Reason>>, latency: Duration, deadline: Duration) -> Report {
    let found = found.unwrap_or(Err(database::Reason::Timeout));
    let schema = found.ok();
    let fault = found.map_or_else(Some, |schema| schema.fault);
    let (status, reason) = match (fault, schema) {
        (Some(fault), _) => (Status::Unhealthy, Some(Reason::Unhealthy(fault))),
        (None, Some(schema)) if schema.is_ahead() => (Status::Degraded, Some(Reason::Degraded(Notice::SchemaAhead))),
        _ if latency > deadline / 2 => (Status::Degraded, Some(Reason::Degraded(Notice::Slow))),
        _ => (Status::Healthy, None),
    };
    let response_time = Measurement::response_time("postgres:responseTime", latency);
    let timestamp = Timestamp::now();
    let body = DatabaseReport {
        status,
        database: if fault.is_none() {
            Connection::Connected
        } else {
            Connection::Error
        },
        latency_ms: milliseconds(latency),
        schema,
        reason,
        timestamp,
    };
    Report::new(status, reason.map(Reason::as_str), timestamp, response_time, &body)
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

    fn written(found: Option<Result<Schema, database::Reason>>, latency: Duration) -> serde_json::Value {
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
            fault: Some(database::Reason::SchemaBehind),
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
