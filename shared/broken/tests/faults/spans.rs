//! Spans, as a collector gets them by OTLP over HTTP: from a server, from Lambda before it freezes, and lost with a dead
//! collector.

mod children;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use std::time::{Duration, Instant};
use testing::{Binary, Client, EventShape, FakeRuntimeApi, loopback};
use tokio::{sync::mpsc, time::timeout};

fn broken() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

/// The spans that a collector got in one request.
struct Export {
    service: String,
    api_key: String,
    spans: Vec<Span>,
}

type Exports = mpsc::UnboundedReceiver<Export>;

/// A collector: an endpoint for OTLP over HTTP with binary protobuf, and the requests it got.
async fn collector() -> (String, Exports) {
    let (sender, exports) = mpsc::unbounded_channel();
    let app = Router::new().route("/v1/traces", post(take)).with_state(sender);
    let (listener, url) = loopback().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, exports)
}

async fn take(State(sender): State<mpsc::UnboundedSender<Export>>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let [resource] = &request.resource_spans[..] else {
        panic!("one resource: {request:?}")
    };
    let spans = resource.scope_spans.iter().flat_map(|scope| scope.spans.clone());
    let _ = sender.send(Export {
        service: text(&resource.resource.as_ref().unwrap().attributes, "service.name"),
        api_key: headers
            .get("api-key")
            .map(|key| key.to_str().unwrap().to_owned())
            .unwrap_or_default(),
        spans: spans.collect(),
    });
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute
        .unwrap_or_else(|| panic!("no {key}"))
        .value
        .as_ref()
        .unwrap()
        .value
        .as_ref()
        .unwrap()
    {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(value) => value.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

async fn next(exports: &mut Exports) -> Export {
    timeout(Duration::from_secs(10), exports.recv())
        .await
        .expect("an export in time")
        .unwrap()
}

#[tokio::test]
async fn a_collector_that_is_dead_or_silent_costs_spans_and_a_line_but_no_answer() {
    let (silent, url) = loopback().await;
    for endpoint in ["http://127.0.0.1:1", &url] {
        let api = FakeRuntimeApi::start().await;
        let function = broken().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        let mut lambda = function.on_lambda(&api);
        let start = Instant::now();
        for _ in 0..2 {
            let answer = api
                .exchange(&EventShape::FunctionUrl.event("GET", "/nowhere", &[]))
                .await;
            assert_eq!(answer.status, 404);
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        lambda.wait_for_line("the collector");
    }
    drop(silent);
}

#[tokio::test]
async fn on_lambda_a_span_has_left_before_the_next_invocation_is_asked_for() {
    let (url, mut exports) = collector().await;
    let api = FakeRuntimeApi::start().await;
    let function = broken()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=open");
    let _lambda = function.with("AWS_LAMBDA_FUNCTION_NAME", "shop-health").on_lambda(&api);
    let answer = api
        .exchange(&EventShape::FunctionUrl.event("GET", "/nowhere", &[]))
        .await;
    while api.polls() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let export = exports
        .try_recv()
        .expect("the span came after the process could be frozen");
    assert_eq!(
        (export.service.as_str(), export.api_key.as_str()),
        ("shop-health", "open")
    );
    let [span] = &export.spans[..] else {
        panic!("{:?}", export.spans)
    };
    // The parent is the segment of the platform.
    assert_eq!(
        span.trace_id,
        0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793_u128.to_be_bytes()
    );
    assert_eq!(span.parent_span_id, 0x5399_5c3f_42cd_8ad8_u64.to_be_bytes());
    let own: String = span.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        answer.headers["traceresponse"].to_str().unwrap().contains(&own),
        "{}",
        answer.transcript()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sends_its_spans_while_it_runs_and_the_last_ones_before_it_ends() {
    let (url, mut exports) = collector().await;
    let mut server = broken().with("OTEL_EXPORTER_OTLP_ENDPOINT", url).serve();
    let client = Client::http1();
    client.get(&format!("{}/nowhere", server.url)).await;
    let export = next(&mut exports).await;
    assert_eq!(export.service, "broken");
    assert_eq!(export.spans[0].name, "GET");
    assert!(!format!("{:?}", export.spans).contains("nowhere"), "a path is exported");
    assert_eq!(text(&export.spans[0].attributes, "http.response.status_code"), "404");
    client
        .send(hyper::Method::POST, &format!("{}/health", server.url), &[])
        .await;
    server.signal("TERM");
    assert_eq!(server.exit_code(Duration::from_secs(5)), Some(0));
    let span = &next(&mut exports).await.spans[0];
    assert_eq!(span.name, "POST /health");
    assert_eq!(text(&span.attributes, "http.route"), "/health");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_that_are_fine_and_traces_that_their_caller_does_not_record_are_not_sent() {
    let (url, mut exports) = collector().await;
    let mut server = broken().with("OTEL_EXPORTER_OTLP_ENDPOINT", url).serve();
    let client = Client::http1();
    let unsampled = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")];
    client.get(&format!("{}/health", server.url)).await;
    client
        .send(hyper::Method::GET, &format!("{}/nowhere", server.url), &unsampled)
        .await;
    server.signal("TERM");
    assert_eq!(server.exit_code(Duration::from_secs(5)), Some(0));
    assert!(exports.try_recv().is_err(), "something was sent");
}
