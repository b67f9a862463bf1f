//! The spans of a function, below the span of its request.

use super::{Exports, broken, collector, next, text};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use std::time::Duration;
use testing::{Client, EventShape, FakeRuntimeApi, Process};

/// The id of a span, as log records have it.
fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:?}"))
}

/// Everything that a server exports until it has ended.
async fn exported(mut server: Process, mut exports: Exports) -> (Vec<Span>, String) {
    server.signal("TERM");
    assert_eq!(server.exit_code(Duration::from_secs(5)), Some(0));
    let mut spans = Vec::new();
    while let Ok(export) = exports.try_recv() {
        spans.extend(export.spans);
    }
    (spans, server.log())
}

async fn spans_of(path: &str, headers: &[(&str, &str)]) -> (Vec<Span>, String) {
    let (url, exports) = collector().await;
    let server = broken().with("OTEL_EXPORTER_OTLP_ENDPOINT", url).serve();
    let url = format!("{}{path}", server.url);
    Client::http1().send(hyper::Method::GET, &url, headers).await;
    exported(server, exports).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_exported_of_a_request_whose_caller_does_not_record_it() {
    let unsampled = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")];
    let (spans, log) = spans_of("/orders/12", &unsampled).await;
    assert!(spans.is_empty(), "{spans:?}");
    assert!(log.contains("\"customer\":\"Ada\""), "the log has its fields: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_children_of_their_request_and_of_each_other_and_log_records_name_the_innermost() {
    let sampled = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let (spans, log) = spans_of("/orders/12", &sampled).await;
    assert_eq!(spans.len(), 3, "{spans:?}");
    let [request, order, charge] = ["GET /orders/{order}", "order", "charge"].map(|name| named(&spans, name));
    assert!(spans.iter().all(|span| span.trace_id == order.trace_id));
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(order.parent_span_id, request.span_id);
    assert_eq!(charge.parent_span_id, order.span_id);
    assert_eq!((request.kind(), order.kind()), (SpanKind::Server, SpanKind::Internal));
    assert_eq!(text(&order.attributes, "order"), "12");
    assert_eq!(text(&order.attributes, "customer"), "Ada", "recorded later");
    assert_eq!(text(&charge.attributes, "amount"), "2");
    assert!(request.start_time_unix_nano <= order.start_time_unix_nano);
    assert!(charge.end_time_unix_nano - charge.start_time_unix_nano >= 2_000_000);
    assert!(charge.end_time_unix_nano <= order.end_time_unix_nano);
    for (message, span) in [("charged", charge), ("ordered", order), ("answered", request)] {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"{message}\"")))
            .unwrap();
        assert!(
            line.contains(&format!("\"span_id\":\"{}\"", hex(&span.span_id))),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_without_a_parent_starts_a_trace_and_links_what_it_follows_from() {
    let (spans, _) = spans_of("/orders/12/causes", &[]).await;
    let [causes, cause, effect, later] = ["causes", "cause", "effect", "later"].map(|name| named(&spans, name));
    assert_eq!(cause.parent_span_id, causes.span_id);
    assert_eq!(later.parent_span_id, cause.span_id);
    assert_ne!(effect.trace_id, cause.trace_id);
    assert!(effect.parent_span_id.iter().all(|byte| *byte == 0), "{effect:?}");
    assert_eq!(effect.links[0].span_id, cause.span_id);
    let attributes = ["amount", "rate", "paid", "due"].map(|key| text(&effect.attributes, key));
    assert_eq!(attributes, ["18446744073709551615", "0.5", "true", "-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_marks_its_span_and_its_request() {
    let (spans, _) = spans_of("/orders/12/failure", &[]).await;
    for (name, code) in [
        ("failure", StatusCode::Error),
        ("GET /orders/{order}/failure", StatusCode::Error),
    ] {
        assert_eq!(named(&spans, name).status.as_ref().unwrap().code(), code, "{name}");
    }
    let request = named(&spans, "GET /orders/{order}/failure");
    assert_eq!(text(&request.attributes, "http.route"), "/orders/{order}/failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_spans_is_sent_as_far_as_it_fits_and_the_rest_is_counted() {
    let (spans, log) = spans_of("/deep/10000", &[]).await;
    let deep = spans.iter().filter(|span| span.name == "deep").count();
    assert!((1000..=2048).contains(&deep), "{deep}");
    assert!(log.contains("\"dropped\":"), "{log}");
}

#[tokio::test]
async fn on_lambda_children_leave_with_their_request() {
    let (url, mut exports) = collector().await;
    let api = FakeRuntimeApi::start().await;
    let _lambda = broken().with("OTEL_EXPORTER_OTLP_ENDPOINT", url).on_lambda(&api);
    let event = EventShape::FunctionUrl.event("GET", "/orders/12", &[]);
    api.exchange(&event).await;
    let spans = next(&mut exports).await.spans;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["charge", "order", "GET /orders/{order}"]);
}
