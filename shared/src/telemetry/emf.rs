//! Metrics without an agent: CloudWatch reads them from the access log, whose lines are in its embedded metric format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//!
//! Each metric of each route costs as much as any custom metric, in the hours in which it gets a value. The routes of a
//! function bound their number: what a client asks for does not add to them.

use super::service_name;
use crate::{BUNDLE, config::Env};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// Members of a line, and their units. Not every line has the last two.
const METRICS: [(&str, &str); 4] = [
    ("requests", "Count"),
    ("errors", "Count"),
    ("latency_ms", "Milliseconds"),
    ("cold_starts", "Count"),
];

/// Turns access lines into metrics of this service.
pub struct Metrics {
    service: String,
}

impl Metrics {
    /// Reads `METRICS`: `emf`, as on Lambda, or `off`, as elsewhere.
    pub fn from_env(env: &Env) -> Option<Self> {
        let on_lambda = env.text("AWS_LAMBDA_RUNTIME_API").is_some();
        let is_on = env.parse("METRICS", on_lambda, "emf or off", |text| match text {
            "emf" => Some(true),
            "off" => Some(false),
            _ => None,
        });
        is_on.then(|| Self {
            service: service_name(env),
        })
    }

    /// Adds to an access line what makes it a document of the format.
    pub fn describe(&self, line: &mut Map<String, Value>, now: SystemTime) {
        line.insert("service".to_owned(), self.service.as_str().into());
        line.insert("requests".to_owned(), 1.into());
        line.entry("errors").or_insert(0.into());
        let metrics = METRICS.iter().filter(|(name, _)| line.contains_key(*name));
        let metrics: Vec<_> = metrics
            .map(|(name, unit)| json!({ "Name": name, "Unit": unit }))
            .collect();
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let metadata = json!({
            "Timestamp": since_epoch.as_millis() as u64,
            "CloudWatchMetrics": [{
                "Namespace": BUNDLE,
                "Dimensions": [["service", "route"]],
                "Metrics": metrics,
            }],
        });
        line.insert("_aws".to_owned(), metadata);
    }
}
