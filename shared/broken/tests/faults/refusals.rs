//! Whatever a client sends to a route that takes a body: an error is a problem, and the same in every life.

use hyper::Method;
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::BTreeMap;
use testing::{Binary, Client, EventShape, Exchange, FakeRuntimeApi, hostile, problem_type};

#[derive(Debug)]
struct Sent {
    method: Method,
    path: String,
    media_type: &'static str,
    body: Vec<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop_oneof![
        Just(Method::GET),
        Just(Method::POST),
        Just(Method::PUT),
        Just(Method::PATCH),
        Just(Method::DELETE),
    ];
    let path = prop_oneof![
        6 => Just("/greetings/1".to_owned()),
        2 => "/greetings/[0-9a-z%]{0,12}",
        1 => Just("/size".to_owned()),
        1 => Just("/picture".to_owned()),
        1 => Just("/text".to_owned()),
        1 => Just("/unread".to_owned()),
        1 => Just("/health".to_owned()),
    ];
    let media_type = prop_oneof![
        4 => Just("application/json"),
        1 => Just("text/plain"),
        1 => Just("image/png"),
        1 => Just(";;;"),
    ];
    let json = prop_oneof![
        1 => Just(String::new()),
        1 => Just("{\"name\":\"Ada\"}".to_owned()),
        3 => Just("{\"name\":\"nobody\"}".to_owned()),
        2 => "\\{\"name\":(null|7|\"[a-z]{0,9}\"|\\[\\]),\"times\":-?[0-9]{1,5}\\}",
        1 => "[\\[\\]{}\",:0-9a]{0,30}",
        1 => hostile(),
    ];
    let body = prop_oneof![
        4 => json.prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => (65_530..65_540_usize).prop_map(|size| vec![b' '; size]),
    ];
    (method, path, media_type, body).prop_map(|(method, path, media_type, body)| Sent {
        method,
        path,
        media_type,
        body,
    })
}

/// The status, and for an error what kind it is. An error that is no problem is a panic.
fn kind(answer: &Exchange, sent: &Sent) -> (u16, Option<String>) {
    let status = answer.status.as_u16();
    if status < 400 {
        return (status, None);
    }
    assert!(status < 500, "{sent:?}: {}", answer.transcript());
    let kind = problem_type(answer).unwrap_or_else(|why| panic!("{why}\n{sent:?}"));
    (status, kind)
}

#[tokio::test]
async fn whatever_is_sent_an_error_is_a_problem_and_the_same_in_every_life() {
    let function = Binary::new(env!("CARGO_BIN_EXE_broken")).with("RUST_LOG", "error");
    let api = FakeRuntimeApi::start().await;
    let lambda = function.on_lambda(&api);
    let server = function.with("RUST_LOG", "info").serve();
    let clients = [Client::http1(), Client::h2c()];
    let (mut runner, mut kinds) = (TestRunner::default(), BTreeMap::new());
    for round in 0..1000 {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        let headers = [("content-type", sent.media_type)];
        let shape = EventShape::ALL[round % EventShape::ALL.len()];
        let event = shape.event_with_body(sent.method.as_str(), &sent.path, &headers, &sent.body);
        let on_lambda = kind(&api.exchange(&event).await, &sent);
        let url = format!("{}{}", server.url, sent.path);
        if url.parse::<hyper::Uri>().is_ok() {
            let client = &clients[round % 2];
            let answer = client
                .exchange(sent.method.clone(), &url, &headers, sent.body.clone().into())
                .await;
            assert_eq!(kind(&answer, &sent), on_lambda, "{sent:?}");
        }
        *kinds.entry(on_lambda).or_insert(0) += 1;
    }
    let seen: Vec<u16> = kinds.keys().map(|(status, _)| *status).collect();
    for status in [200, 202, 400, 404, 405, 409, 413, 415, 422] {
        assert!(seen.contains(&status), "never {status}: {kinds:?}");
    }
    assert!(!lambda.log().contains("panicked"), "{}", lambda.log());
}
