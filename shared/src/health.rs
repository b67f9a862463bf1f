//! The health contract: a report in two media types, and a check with a deadline, a single flight and a short cache.

mod check;
pub mod process;
#[cfg(feature = "openapi")]
mod responses;

use crate::problem::AsIs;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
pub use check::{Check, Settings};
#[cfg(feature = "openapi")]
pub use responses::Responses;
use serde::{Serialize, Serializer};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// Whether this can be relied on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Yes.
    Healthy,
    /// Yes, but someone should look. Answered 200: taking instances out of service would not help.
    Degraded,
    /// No. Answered 503.
    Unhealthy,
}

/// The result of one check, served to every probe that shares it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Decides the status code of the answer and the exit code of the job.
    pub status: Status,
    reason: Option<&'static str>,
    measured: Measurement,
    timestamp: Timestamp,
    json: Bytes,
}

/// A member of `checks` in `application/health+json`.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// The key, as `component:measurement`.
    pub name: &'static str,
    /// `system`, `datastore` or `component`.
    pub component: &'static str,
    /// The value and its unit; `None` where nothing could be measured.
    pub observed: Option<(f64, &'static str)>,
}

impl Measurement {
    /// How long a datastore took to answer.
    pub fn response_time(name: &'static str, latency: Duration) -> Self {
        Self {
            name,
            component: "datastore",
            observed: Some((milliseconds(latency), "ms")),
        }
    }
}

/// A report as `application/health+json`: <https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06>.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthJson {
    status: Verdict,
    /// One entry for what was checked, as `component:measurement`.
    checks: BTreeMap<&'static str, [Entry; 1]>,
}

#[derive(Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct Entry {
    component_type: &'static str,
    status: Verdict,
    time: Timestamp,
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_value: Option<f64>,
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    /// The reason of the plain report.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'static str>,
}

/// The time of a report: RFC 3339, in UTC, to the millisecond.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// This moment.
    pub fn now() -> Self {
        Self(SystemTime::now())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

impl Report {
    /// A report whose JSON is `body`; `body` must have the same status, reason and time. `reason` is a word of the closed set
    /// of the dependency.
    pub fn new(
        status: Status,
        reason: Option<&'static str>,
        timestamp: Timestamp,
        measured: Measurement,
        body: &impl Serialize,
    ) -> Self {
        let json = serde_json::to_vec(body).expect("reports have string keys and finite numbers");
        Self {
            status,
            reason,
            measured,
            timestamp,
            json: json.into(),
        }
    }

    fn health_json(&self) -> HealthJson {
        let status = match self.status {
            Status::Healthy => Verdict::Pass,
            Status::Degraded => Verdict::Warn,
            Status::Unhealthy => Verdict::Fail,
        };
        let entry = Entry {
            component_type: self.measured.component,
            status,
            time: self.timestamp,
            observed_value: self.measured.observed.map(|(value, _)| value),
            observed_unit: self.measured.observed.map(|(_, unit)| unit),
            output: self.reason,
        };
        let checks = BTreeMap::from([(self.measured.name, [entry])]);
        HealthJson { status, checks }
    }

    /// The report as one line of JSON.
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or_default()
    }

    /// The answer to a probe, in the media type that its `Accept` prefers.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let (media_type, body) = if prefers_health_json(request) {
            let json = serde_json::to_vec(&self.health_json()).expect("the shape has string keys");
            ("application/health+json", json.into())
        } else {
            ("application/json", self.json.clone())
        };
        let mut response = Response::new(Body::from(body));
        if self.status == Status::Unhealthy {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.extensions_mut().insert(AsIs);
        }
        let headers = response.headers_mut();
        // Room for the headers that the middleware adds: otherwise the map would grow, and be rehashed, for every probe.
        headers.reserve(12);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// Milliseconds with one decimal: the form of a latency in every report.
pub fn milliseconds(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Whether `Accept` names `application/health+json`, with a weight no lower than that of `application/json` (RFC 9110,
/// section 12.5.1).
fn prefers_health_json(request: &HeaderMap) -> bool {
    let ranges = request
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let (mut health, mut plain) = (0.0, 0.0);
    for range in ranges.flat_map(|value| split_unquoted(value, ',')) {
        let mut parts = split_unquoted(range, ';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1.0);
        if media_type.eq_ignore_ascii_case("application/health+json") {
            health = weight;
        } else if media_type.eq_ignore_ascii_case("application/json") {
            plain = weight;
        }
    }
    health > 0.0 && health >= plain
}

/// The value of the parameter `q`, in any case (RFC 9110, section 12.4.2); 0 where it is not a number from 0 to 1.
fn weight(parameter: &str) -> Option<f64> {
    let (name, value) = parameter.split_once('=')?;
    let weight = value.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
    name.trim().eq_ignore_ascii_case("q").then(|| weight.unwrap_or(0.0))
}

/// Splits at separators outside of quoted strings (RFC 9110, section 5.6.4).
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let literal = escaped;
        escaped = quoted && !literal && c == '\\';
        quoted ^= c == '"' && !literal;
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_health_media_type_is_served_only_to_those_who_prefer_it() {
        for (accept, expected) in [
            ("*/*", false),
            ("application/json", false),
            ("application/health+json;q=0", false),
            ("application/health+json;Q=0", false),
            ("application/health+json; q=0.000", false),
            ("application/health+json ; q = 0 , */*", false),
            ("application/health+json;a=\"b,c;q=1\";q=0", false),
            ("application/health+json;a=\"\\\";q=1,\";q=0", false),
            ("application/health+json;q=high", false),
            ("application/health+json;q=nan", false),
            ("application/health+json;q=0.5, application/json;Q=0.9", false),
            ("application/health+json;a=\"x, application/json\"", true),
            ("application/health+json;Q=0.9, application/json;Q=0.5", true),
            ("application/health+json;q=0.5, application/json", false),
            ("application/health+json", true),
            ("application/json;q=0.5, Application/Health+JSON", true),
            ("text/html, application/health+json;q=0.9, */*;q=0.1", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_health_json(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn a_failed_check_says_fail_and_its_reason_in_both_media_types() {
        let measured = Measurement {
            name: "thing:responseTime",
            component: "component",
            observed: None,
        };
        let (status, reason) = (Status::Unhealthy, "unreachable");
        let body = json!({"thing": "x", "reason": reason});
        let report = Report::new(status, Some(reason), Timestamp::now(), measured, &body);
        let health = serde_json::to_value(report.health_json()).unwrap();
        assert_eq!(health["status"], "fail");
        assert_eq!(health["checks"]["thing:responseTime"][0]["output"], "unreachable");
        assert_eq!(report.json(), r#"{"reason":"unreachable","thing":"x"}"#);
    }
}
