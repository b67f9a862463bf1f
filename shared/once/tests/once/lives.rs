//! The same in every life, and across them: one database knows what each has answered.

use crate::shop::{ACCOUNT, Shop, is_replayed, slug};
use axum::body::Body;
use hyper::Method;
use serde_json::json;
use testing::{
    Client, EventShape, Exchange, FakeRuntimeApi,
    matrix::{Expected, same_in_every_life},
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a payment to every life: HTTP/1.1, h2c, and Lambda behind each service.
async fn everywhere(url: &str, api: &FakeRuntimeApi, headers: &[(&str, &str)], body: &str) -> Vec<Exchange> {
    let headers = [&[JSON], headers].concat();
    let mut answers = Vec::new();
    for client in [Client::http1(), Client::h2c()] {
        let url = format!("{url}{ACCOUNT}");
        let answer = client.exchange(Method::POST, &url, &headers, Body::from(body.to_owned()));
        answers.push(answer.await);
    }
    for shape in EventShape::ALL {
        let event = shape.event_with_body("POST", ACCOUNT, &headers, body.as_bytes());
        answers.push(api.exchange(&event).await);
    }
    answers
}

#[tokio::test]
async fn a_request_is_answered_once_over_all_lives() {
    let shop = Shop::new().await;
    let (server, api) = (shop.binary().serve(), FakeRuntimeApi::start().await);
    let _lambda = shop.binary().on_lambda(&api);
    let answers = everywhere(&server.url, &api, &[("idempotency-key", "k")], r#"{"amount": 5}"#).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 201, "{number}: {}", answer.transcript());
        assert_eq!(answer.json(), json!({"id": 1}));
        assert_eq!(answer.headers["location"], "/payments/1");
        assert_eq!(is_replayed(answer), number > 0, "{number}");
    }
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
    let others = everywhere(&server.url, &api, &[("idempotency-key", "\"k\"")], r#"{"amount": 6}"#).await;
    for answer in others {
        assert_eq!(
            (answer.status.as_u16(), &*slug(&answer)),
            (422, "idempotency-key-reused")
        );
    }
    for answer in everywhere(&server.url, &api, &[], r#"{"amount": 5}"#).await {
        assert_eq!(
            (answer.status.as_u16(), &*slug(&answer)),
            (400, "idempotency-key-missing")
        );
    }
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn the_test_of_every_life_sends_a_key_and_takes_a_repeated_answer_for_the_same() {
    let shop = Shop::new().await;
    let paid = |status, content_type| {
        let expected = Expected::new(Method::POST, ACCOUNT, status, content_type);
        expected.sending("application/json", br#"{"amount": 5}"#)
    };
    let keyless = paid(400, "application/problem+json");
    let first = paid(201, "application/json").header("idempotency-key", "k");
    same_in_every_life(&shop.binary(), &[keyless, first]).await;
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}
