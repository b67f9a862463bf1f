//! Processes that die, freeze or run out of time between a payment and its answer.

use crate::shop::{ACCOUNT, Shop, begin, is_replayed, pay, pay_until_answered, post};
use serde_json::json;
use shared::random;
use std::time::Duration;
use testing::{EventShape, FakeRuntimeApi};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_process_that_is_killed_after_the_commit_has_taken_the_payment() {
    let shop = Shop::new().await;
    let (dies, lives) = (shop.binary().serve(), shop.binary().serve());
    let payment = json!({"amount": 1, "after_ms": 2000});
    let _client = begin(&dies.url, ACCOUNT, "k", &payment).await;
    while shop.payments().await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    dies.signal("KILL");
    let answer = pay(&lives.url, "k", &payment).await;
    assert!(answer.status == 201 && is_replayed(&answer));
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn a_process_that_is_killed_before_the_commit_has_taken_nothing() {
    let shop = Shop::new().await;
    let (dies, lives) = (shop.binary().serve(), shop.binary().serve());
    let payment = json!({"amount": 1, "within_ms": 1000});
    let _client = begin(&dies.url, ACCOUNT, "k", &payment).await;
    shop.until_working(1).await;
    assert_eq!(
        pay(&lives.url, "k", &payment).await.status,
        409,
        "it is being worked on"
    );
    dies.signal("KILL");
    let answer = pay_until_answered(&lives.url, "k", &payment).await;
    assert!(answer.status == 201 && !is_replayed(&answer));
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn fifty_processes_that_are_killed_at_any_moment_take_each_payment_once() {
    let shop = Shop::new().await;
    let lives = shop.binary().serve();
    let payment = json!({"amount": 1, "within_ms": 20, "after_ms": 20});
    let start = Instant::now();
    assert_eq!(pay(&shop.binary().serve().url, "key-1", &payment).await.status, 201);
    let whole = start.elapsed();
    let (mut before, mut after) = (0, 0);
    for round in 2..500 {
        // More where all so far died on the same side of their commit.
        if round > 51 && before > 0 && after > 0 {
            break;
        }
        let (dies, key) = (shop.binary().serve(), format!("key-{round}"));
        let _client = begin(&dies.url, ACCOUNT, &key, &payment).await;
        sleep(whole.mul_f64(1.2 * random::fraction())).await;
        dies.signal("KILL");
        let answer = pay_until_answered(&lives.url, &key, &payment).await;
        assert_eq!(answer.status, 201, "{}", answer.transcript());
        *(if is_replayed(&answer) { &mut after } else { &mut before }) += 1;
        assert_eq!((shop.payments().await, shop.stored().await), (round, round));
    }
    assert!(
        before > 0 && after > 0,
        "{before} died before their commit, {after} after it"
    );
}

/// The control: the payment is committed, and the key is not.
#[tokio::test]
async fn a_key_that_is_stored_in_a_second_transaction_takes_a_payment_twice() {
    let shop = Shop::new().await;
    let (dies, lives) = (shop.binary().serve(), shop.binary().serve());
    let path = "/wrong/second-transaction";
    let _client = begin(&dies.url, path, "k", &json!({"amount": 1, "after_ms": 60_000})).await;
    while shop.payments().await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    dies.signal("KILL");
    let url = format!("{}{path}", lives.url);
    for status in [201, 200] {
        assert_eq!(post(&url, "k", &json!({"amount": 1})).await.status, status);
    }
    assert_eq!(shop.payments().await, 2, "one is taken twice");
}

/// As Lambda freezes an environment whose invocation has run out of time.
#[tokio::test]
async fn a_frozen_process_loses_its_key_at_the_deadline_and_takes_nothing_when_it_thaws() {
    let shop = Shop::new().await;
    let (api, lives) = (FakeRuntimeApi::start().await, shop.binary().serve());
    let lambda = shop.binary().on_lambda(&api);
    let payment = json!({"amount": 1, "within_ms": 1500});
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let event = EventShape::FunctionUrl.event_with_body("POST", ACCOUNT, &headers, payment.to_string().as_bytes());
    let start = Instant::now();
    let invocation = api.invoke(&event, Duration::from_secs(3));
    let frozen = async {
        shop.until_working(1).await;
        lambda.signal("STOP");
        let answer = pay_until_answered(&lives.url, "k", &payment).await;
        let waited = start.elapsed();
        lambda.signal("CONT");
        (answer, waited)
    };
    let (posted, (answer, waited)) = tokio::join!(invocation, frozen);
    assert!(answer.status == 201 && !is_replayed(&answer), "{}", answer.transcript());
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    let thawed = posted.exchange().await;
    assert!(thawed.status.is_server_error(), "{}", thawed.transcript());
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn work_that_outlasts_its_deadline_is_rolled_back_and_its_key_is_free() {
    let shop = Shop::new().await;
    let api = FakeRuntimeApi::start().await;
    let _lambda = shop.binary().on_lambda(&api);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let event = |payment: serde_json::Value| {
        EventShape::FunctionUrl.event_with_body("POST", ACCOUNT, &headers, payment.to_string().as_bytes())
    };
    let slow = event(json!({"amount": 1, "within_ms": 60_000}));
    let late = api.invoke(&slow, Duration::from_secs(2)).await.exchange().await;
    assert!(late.status.is_server_error(), "{}", late.transcript());
    assert_eq!((shop.payments().await, shop.stored().await), (0, 0));
    let answer = api.exchange(&event(json!({"amount": 1}))).await;
    assert_eq!((answer.status.as_u16(), shop.payments().await), (201, 1));
}
