//! Metrics without an agent: CloudWatch reads them from the access log, whose lines are in its embedded metric format:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//!
//! Each metric of each route costs as much as any custom metric, in the hours in which it gets a value. The routes of a
//! function bound their number: what a client asks for does not add to them.

use super::{record::Record, service_name};
use crate::{BUNDLE, config::Env};
use serde::Serialize;
use std::{fmt, time::SystemTime};
use tracing::{
    Event,
    field::{Field, Visit},
};

/// Members of a line, and their units. Not every line has the last two.
const METRICS: [Metric; 4] = [
    Metric::new("requests", "Count"),
    Metric::new("errors", "Count"),
    Metric::new("latency_ms", "Milliseconds"),
    Metric::new("cold_starts", "Count"),
];
/// Members of a line that tell metrics of the same name apart.
const DIMENSIONS: [&str; 2] = ["service", "route"];

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

    /// Adds to the line of an access event what makes it a document of the format.
    pub fn describe(&self, event: &Event<'_>, line: &mut Record, now: SystemTime) {
        let mut recorded = Recorded::default();
        event.record(&mut recorded);
        line.insert(DIMENSIONS[0], &*self.service);
        line.insert("requests", &1);
        if !recorded.has("errors") {
            line.insert("errors", &0);
        }
        let always = &METRICS[..2];
        let sometimes = METRICS[2..].iter().filter(|metric| recorded.has(metric.name));
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let metadata = Metadata {
            timestamp: since_epoch.as_millis() as u64,
            cloud_watch_metrics: [Directive {
                namespace: BUNDLE,
                dimensions: [DIMENSIONS],
                metrics: always.iter().chain(sometimes).collect(),
            }],
        };
        line.insert("_aws", &metadata);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    /// Milliseconds since the epoch.
    timestamp: u64,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 2]; 1],
    metrics: Vec<&'static Metric>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

impl Metric {
    const fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit }
    }
}

/// The names of the fields that have a value.
#[derive(Default)]
struct Recorded(Vec<&'static str>);

impl Recorded {
    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        self.0.push(field.name());
    }
}
