//! An instance is told to end in the middle of its streams. Its readers go on at another one.

use crate::{Caller, JSON, streams};
use http_body_util::BodyExt;
use hyper::Method;
use std::time::Duration;

/// The data and the last id of an event stream.
fn read(stream: &str) -> (Vec<i64>, Option<String>) {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:["));
    let data = data.flat_map(|line| {
        line.trim_end_matches(']')
            .split(',')
            .map(|number| number.parse().unwrap())
    });
    let id = stream.lines().filter_map(|line| line.strip_prefix("id: ")).next_back();
    (data.collect(), id.map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_an_instance_that_ends_goes_on_at_another_one() {
    let binary = streams().await;
    let (ending, other) = (binary.serve(), binary.serve());
    let (caller, reader) = (Caller::new(), Caller::new());
    let url = caller.create(&other.url, "a").await;
    let target = "/v1/stream/a?offset=-1&live=sse";
    let first = format!("{}{target}", ending.url);
    let authorization = [("authorization", &*reader.authorization)];
    let mut first = reader
        .client
        .open(Method::GET, &first, &authorization)
        .await
        .into_body();
    let begin = first.frame().await.unwrap().unwrap().into_data().unwrap();
    let first = tokio::spawn(first.collect());
    for number in 0..40 {
        caller.ask(Method::POST, &url, &[JSON], &number.to_string()).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if number == 20 {
            ending.signal("TERM");
        }
    }
    caller.ask(Method::POST, &url, &[("stream-closed", "true")], "").await;
    let first = [begin, first.await.unwrap().unwrap().to_bytes()].concat();
    let (mut data, id) = read(std::str::from_utf8(&first).unwrap());
    assert!(!data.is_empty() && data.len() < 40, "it ended in the middle: {data:?}");
    let rest = format!("{}{target}", other.url);
    let rest = caller
        .ask(Method::GET, &rest, &[("last-event-id", &id.unwrap())], "")
        .await;
    data.extend(read(std::str::from_utf8(&rest.body).unwrap()).0);
    assert_eq!(data, Vec::from_iter(0..40));
}
