//! The fields of spans in the records of their events: in every life and format, and where a function opens spans as none
//! should.

use serde_json::Value;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use testing::{Binary, Client, EventShape, FakeRuntimeApi, Process};

/// A reserved name in each dialect of the log, with the setting that chooses it.
const DIALECTS: [(&str, &str); 2] = [("LOG_FORMAT", "json"), ("K_SERVICE", "shop")];

fn broken() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken"))
}

/// The records of one request to a server, without its access line.
async fn records(server: &mut Process, path: &str) -> Vec<Value> {
    let url = format!("{}{path}", server.url);
    let answer = Client::http1()
        .send(hyper::Method::GET, &url, &[("x-request-id", path)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.transcript());
    let id = format!("\"request_id\":\"{path}\"");
    while !server.wait_for_line(&id).contains("\"target\":\"access\"") {}
    of_request(&server.log(), path)
}

fn of_request(log: &str, id: &str) -> Vec<Value> {
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| record["request_id"] == id && record["target"] != "access")
        .collect()
}

fn with_message<'a>(records: &'a [Value], message: &str) -> &'a Value {
    let found = records.iter().find(|record| record["message"] == message);
    found.unwrap_or_else(|| panic!("no {message:?} in {records:?}"))
}

/// Records of `/orders/12` have the fields of their spans, and no others.
fn assert_ordered(records: &[Value]) {
    let received = with_message(records, "received");
    assert_eq!((&received["span"], &received["order"]), (&"order".into(), &12.into()));
    assert!(received["customer"].is_null(), "not recorded yet: {received}");
    let charged = with_message(records, "charged");
    assert_eq!((&charged["span"], &charged["amount"]), (&"charge".into(), &2.into()));
    assert_eq!((&charged["order"], &charged["customer"]), (&12.into(), &"Ada".into()));
    let ordered = with_message(records, "ordered");
    assert_eq!(
        (&ordered["span"], &ordered["customer"]),
        (&"order".into(), &"Ada".into())
    );
    assert_eq!(ordered["order"], "of the event", "the event's field is the nearest");
    assert!(ordered["amount"].is_null(), "the inner span has ended: {ordered}");
}

#[tokio::test]
async fn a_record_has_the_fields_of_its_spans_in_every_dialect_of_a_server() {
    for (key, value) in DIALECTS {
        let mut server = broken().with(key, value).serve();
        assert_ordered(&records(&mut server, "/orders/12").await);
    }
}

#[tokio::test]
async fn a_record_has_the_fields_of_its_spans_on_lambda() {
    for streamed in ["", "1"] {
        let api = FakeRuntimeApi::start().await;
        let mut lambda = broken().with("STREAMED", streamed).on_lambda(&api);
        let event = EventShape::FunctionUrl.event("GET", "/orders/12", &[("x-request-id", "mine")]);
        assert_eq!(api.exchange(&event).await.status, 200);
        lambda.wait_for_line("\"access\"");
        assert_ordered(&of_request(&lambda.log(), "mine"));
    }
}

#[tokio::test]
async fn a_line_of_text_has_the_fields_of_its_spans_after_those_of_the_event() {
    let port = testing::free_port();
    let function = broken().with("LOG_FORMAT", "text").with("PORT", port.to_string());
    let mut server = function.start("listening");
    let url = format!("http://127.0.0.1:{port}/orders/12");
    Client::http1()
        .send(hyper::Method::GET, &url, &[("x-request-id", "mine")])
        .await;
    for expected in [
        r#" broken::spans: charged span=charge amount=2 order=12 customer="Ada" request_id="mine""#,
        r#" broken::spans: ordered order="of the event" span=order customer="Ada" request_id="mine""#,
    ] {
        let line = server.wait_for_line("broken::spans: ");
        let line = if line.contains("received") {
            server.wait_for_line("broken::spans: ")
        } else {
            line
        };
        assert!(line.ends_with(expected), "{line}");
    }
}

#[tokio::test]
async fn requests_at_the_same_time_do_not_mix_their_spans() {
    let server = broken().serve();
    let ask = |order: u64| {
        let url = format!("{}/orders/{order}", server.url);
        async move {
            let id = order.to_string();
            let headers = [("x-request-id", &*id)];
            Client::http1().send(hyper::Method::GET, &url, &headers).await.status
        }
    };
    let statuses = futures_util::future::join_all((0..200).map(ask)).await;
    assert!(statuses.iter().all(|status| *status == 200));
    let start = Instant::now();
    while server.log().matches("\"target\":\"access\"").count() < 200 {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for order in 0..200_u64 {
        let records = of_request(&server.log(), &order.to_string());
        assert_eq!(records.len(), 3, "{records:?}");
        let charged = with_message(&records, "charged");
        assert_eq!(
            (&charged["order"], &charged["amount"]),
            (&order.into(), &(order % 10).into())
        );
    }
}

#[tokio::test]
async fn a_task_is_in_the_span_and_the_request_that_start_it_if_it_is_spawned_with_either() {
    let mut server = broken().serve();
    let records = records(&mut server, "/orders/7/tasks").await;
    for message in ["spawned by telemetry", "spawned with the span", "in a thread"] {
        let record = with_message(&records, message);
        assert_eq!(record["span"], "tasks", "{record}");
    }
    let alone = server.log();
    let alone = alone.lines().find(|line| line.contains("spawned by itself")).unwrap();
    assert!(!alone.contains("request_id") && !alone.contains("\"span\""), "{alone}");
}

#[tokio::test]
async fn parents_are_the_present_span_or_the_named_one_or_none() {
    let mut server = broken().serve();
    let records = records(&mut server, "/orders/7/causes").await;
    let effect = with_message(&records, "in the effect");
    assert_eq!((&effect["span"], &effect["order"]), (&"effect".into(), &Value::Null));
    assert_eq!((&effect["amount"], &effect["rate"]), (&u64::MAX.into(), &0.5.into()));
    assert_eq!((&effect["paid"], &effect["due"]), (&true.into(), &(-1).into()));
    let cause = with_message(&records, "beside the cause");
    assert_eq!((&cause["span"], &cause["order"]), (&"cause".into(), &7.into()));
    let later = with_message(&records, "after the cause has ended");
    assert_eq!((&later["span"], &later["order"]), (&"later".into(), &7.into()));
    let outside = with_message(&records, "outside");
    assert!(outside["span"].is_null(), "{outside}");
}

#[tokio::test]
async fn a_span_below_the_level_of_the_log_has_no_fields_and_those_around_it_do() {
    for (levels, info, debug) in [
        ("info", Some(3), None),
        ("broken=debug", Some(3), Some(2)),
        ("error,broken=info", Some(3), None),
    ] {
        let mut server = broken()
            .with("RUST_LOG", format!("{levels},shared=info,access=info"))
            .serve();
        let records = records(&mut server, "/levels").await;
        let leveled = with_message(&records, "leveled");
        assert_eq!(leveled["error"], 1, "{levels}");
        assert_eq!(leveled["info"].as_u64(), info, "{levels}");
        assert_eq!(leveled["debug"].as_u64(), debug, "{levels}");
    }
}

#[tokio::test]
async fn no_field_replaces_what_the_runtime_writes_or_forges_a_line() {
    for (key, value) in DIALECTS {
        let mut server = broken().with(key, value).serve();
        let records = records(&mut server, "/clashes").await;
        let [record] = &records[..] else { panic!("{records:?}") };
        let level = if key == "K_SERVICE" { "severity" } else { "level" };
        assert_eq!(
            (&record[level], &record["target"]),
            (&"INFO".into(), &"broken::spans".into())
        );
        assert_eq!(
            (&record["message"], &record["span"]),
            (&"clashed".into(), &"inner".into())
        );
        assert!(record["trace_id"].is_null() && record["_aws"].is_null(), "{record}");
        assert!(record["logging.googleapis.com/trace"].is_null(), "{record}");
        // Nothing is lost.
        assert_eq!(
            (&record["field_level"], &record["span_message"]),
            (&"forged too".into(), &"outer message".into())
        );
        assert_eq!(
            (&record["field_span"], &record["field__aws"]),
            (&"forged".into(), &"forged".into())
        );
        assert_eq!((&record["both"], &record["nan"]), (&"inner".into(), &Value::Null));
        assert!(record["text"].as_str().unwrap().starts_with("one\n"), "{record}");
        let log = server.log();
        let line = log.lines().find(|line| line.contains("clashed")).unwrap();
        assert_eq!(
            line.matches("\"level\":").count() + line.matches("\"severity\":").count(),
            1,
            "{line}"
        );
    }
}

#[tokio::test]
async fn values_are_cut_and_deep_nesting_is_a_short_line() {
    let mut server = broken().serve();
    let before = server.resident_kib();
    let huge = records(&mut server, "/huge").await;
    let huge = with_message(&huge, "after huge fields");
    for field in ["text", "debug", "later"] {
        let value = huge[field].as_str().unwrap();
        assert!(
            value.ends_with('…') && (1000..1030).contains(&value.len()),
            "{} bytes",
            value.len()
        );
    }
    let deep = records(&mut server, "/deep/100000").await;
    let deep = with_message(&deep, "at the ground");
    assert_eq!((&deep["of"], &deep["depth"]), (&100_000.into(), &99_999.into()));
    assert!(deep.to_string().len() < 500, "{deep}");
    let grown = server.grown_kib(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    assert_ordered(&records(&mut server, "/orders/12").await);
}

#[tokio::test]
async fn a_guard_that_is_never_dropped_marks_the_records_of_its_request_alone() {
    let mut server = broken().serve();
    for secret in ["s3cret-1", "s3cret-2"] {
        let path = format!("/forgotten/{secret}");
        let records = records(&mut server, &path).await;
        assert_eq!(with_message(&records, "in the same request")["secret"], secret);
        assert_eq!(server.log().matches(&format!("\"secret\":\"{secret}\"")).count(), 1);
    }
    let records = records(&mut server, "/orders/12").await;
    assert_ordered(&records);
    assert!(records.iter().all(|record| record["secret"].is_null()), "{records:?}");
}

#[tokio::test]
async fn a_million_leaked_spans_leave_memory_bounded_and_later_spans_whole() {
    let mut server = broken().serve();
    records(&mut server, "/leaked/20000").await;
    let full = server.resident_kib();
    assert!(full < 32 << 10, "{full} KiB");
    records(&mut server, "/leaked/1000000").await;
    let grown = server.grown_kib(full);
    assert!(grown < 2 << 10, "{grown} KiB");
    let log = server.log();
    let warnings: HashSet<_> = log
        .lines()
        .filter(|line| line.contains("the oldest are forgotten"))
        .collect();
    assert_eq!(warnings.len(), 1, "said once: {warnings:?}");
    assert_ordered(&records(&mut server, "/orders/12").await);
}
