//! Metrics: access lines in the embedded metric format of CloudWatch.

use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};
use testing::{Binary, Client, EventShape, FakeRuntimeApi};

fn broken() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken")).with("RUST_LOG", "info,broken=off")
}

/// `_aws`, as the specification has it: nothing more, nothing less.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Metadata {
    timestamp: u64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Directive {
    namespace: String,
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Metric {
    name: String,
    unit: String,
}

/// The value of each metric of a line, and the values of its dimensions.
fn extracted(line: &Value) -> (Vec<String>, Vec<(String, f64)>) {
    let metadata = Metadata::deserialize(&line["_aws"]).unwrap_or_else(|error| panic!("{error}: {line}"));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert!(metadata.timestamp.abs_diff(now) < 60_000, "{line}");
    let [directive] = &metadata.cloud_watch_metrics[..] else {
        panic!("{line}")
    };
    assert_eq!(directive.namespace, "pilotlight");
    let [set] = &directive.dimensions[..] else {
        panic!("{line}")
    };
    assert_eq!(set, &["service", "route"]);
    let dimensions = set.iter().map(|name| line[name].as_str().unwrap().to_owned());
    let metrics = directive.metrics.iter().map(|metric| {
        assert!(["Count", "Milliseconds"].contains(&&*metric.unit), "{}", metric.unit);
        (
            metric.name.clone(),
            line[&metric.name]
                .as_f64()
                .unwrap_or_else(|| panic!("no {} in {line}", metric.name)),
        )
    });
    (dimensions.collect(), metrics.collect())
}

fn value(metrics: &[(String, f64)], name: &str) -> Option<f64> {
    metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// The access lines of a function on Lambda after these requests.
async fn access_lines(function: Binary, paths: &[&str]) -> Vec<Value> {
    let api = FakeRuntimeApi::start().await;
    let mut lambda = function.on_lambda(&api);
    for path in paths {
        let event = EventShape::FunctionUrl.event("GET", path, &[]);
        // To its end, which may be a failure.
        api.invoke(&event, Duration::from_secs(5)).await.rest().await;
    }
    api.exchange(&EventShape::FunctionUrl.event("GET", "/health", &[]))
        .await;
    lambda.signal("KILL");
    lambda.exit_code(Duration::from_secs(5));
    let log = lambda.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("\"access\"") || line.contains(" access: "));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_default())
        .collect()
}

#[test]
fn a_setting_that_names_no_format_ends_the_process_with_78() {
    let refused = broken().with("METRICS", "statsd").run(&[]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("METRICS must be emf or off")
    );
}

#[tokio::test]
async fn off_or_as_text_a_line_is_no_metric() {
    for (key, value) in [("METRICS", "off"), ("LOG_FORMAT", "text")] {
        let lines = access_lines(broken().with(key, value), &["/levels"]).await;
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0]["_aws"].is_null() && lines[0]["requests"].is_null(),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn on_lambda_each_request_is_a_metric_of_its_service_and_route() {
    let function = broken().with("AWS_LAMBDA_FUNCTION_NAME", "shop-broken");
    let paths = ["/orders/1", "/orders/2/failure", "/broken", "/orders/x"];
    let lines = access_lines(function, &paths).await;
    let expected = [
        ("/orders/{order}", 0.0, Some(1.0)),
        ("/orders/{order}/failure", 1.0, None),
        ("/broken", 1.0, None),
        ("/orders/{order}", 0.0, None),
    ];
    assert_eq!(lines.len(), expected.len());
    for (line, (route, errors, cold_starts)) in lines.iter().zip(expected) {
        let (dimensions, metrics) = extracted(line);
        assert_eq!(dimensions, ["shop-broken", route]);
        assert_eq!(
            (value(&metrics, "requests"), value(&metrics, "errors")),
            (Some(1.0), Some(errors)),
            "{line}"
        );
        assert_eq!(value(&metrics, "cold_starts"), cold_starts, "{line}");
        assert!(
            value(&metrics, "latency_ms").is_some_and(|latency| latency > 0.0),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_on_lambda() {
    let lines = access_lines(broken().with("STREAMED", "1"), &["/broken", "/whole"]).await;
    let errors = lines.iter().map(|line| value(&extracted(line).1, "errors"));
    assert_eq!(errors.collect::<Vec<_>>(), [Some(1.0), Some(0.0)], "{lines:?}");
}

#[tokio::test]
async fn whatever_clients_ask_for_the_number_of_metrics_is_bounded() {
    let paths: Vec<String> = (0..50).map(|number| format!("/{number}/{number}")).collect();
    let orders = (0..50).map(|number| format!("/orders/{number}"));
    let paths: Vec<String> = paths.into_iter().chain(orders).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let lines = access_lines(broken(), &paths).await;
    let dimensions: BTreeSet<_> = lines.iter().map(|line| extracted(line).0).collect();
    let routes: Vec<_> = dimensions.iter().map(|dimensions| &*dimensions[1]).collect();
    assert_eq!(routes, ["/orders/{order}", "unmatched"]);
}

#[tokio::test]
async fn a_server_has_the_same_fields_and_no_metric_unless_asked_for() {
    for (setting, is_metric) in [("", false), ("emf", true)] {
        let mut server = broken()
            .with("K_SERVICE", "shop-broken")
            .with("METRICS", setting)
            .serve();
        Client::http1().get(&format!("{}/orders/1/failure", server.url)).await;
        let line: Value = serde_json::from_str(&server.wait_for_line("\"access\"")).unwrap();
        assert_eq!(
            (&line["route"], &line["errors"]),
            (&"/orders/{order}/failure".into(), &1.into())
        );
        assert!(line["latency_ms"].is_f64() && line["cold_starts"] == 1, "{line}");
        assert_eq!(line["_aws"].is_object(), is_metric, "{line}");
        if is_metric {
            assert_eq!(extracted(&line).0, ["shop-broken", "/orders/{order}/failure"]);
        }
    }
}

#[tokio::test]
#[ignore = "needs aws-embedded-metrics in python3"]
async fn the_library_of_aws_builds_the_same_documents() {
    let lines = access_lines(broken(), &["/orders/1", "/orders/2/failure", "/nowhere"]).await;
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/metrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    lines.iter().for_each(|line| writeln!(input, "{line}").unwrap());
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "3");
}
