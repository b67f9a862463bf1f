//! Keys: missing, hostile, and sent again with another request.

use crate::shop::{ACCOUNT, Shop, is_replayed, pay, post, send, slug};
use hyper::Method;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::json;
use testing::{hostile, scalar, tokens};

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let url = format!("{}{ACCOUNT}", server.url);
    let key: &[(&str, &str)] = &[("idempotency-key", "k")];
    let first = send(Method::POST, &url, key, r#"{"amount": 1}"#.to_owned()).await;
    assert_eq!(first.status, 201);
    for (method, url, body) in [
        (Method::POST, url.clone(), r#"{"amount": 2}"#),
        (Method::POST, url.clone(), r#"{"amount":  1}"#),
        (Method::POST, format!("{url}?a=1"), r#"{"amount": 1}"#),
        (Method::POST, format!("{url}7"), r#"{"amount": 1}"#),
        (Method::PUT, url.clone(), r#"{"amount": 1}"#),
    ] {
        let answer = send(method.clone(), &url, key, body.to_owned()).await;
        assert_eq!(answer.status, 422, "{method} {url} {body}");
        assert_eq!(slug(&answer), "idempotency-key-reused");
    }
    let other_type = [key, &[("content-type", "application/x+json")]].concat();
    let answer = send(Method::POST, &url, &other_type, r#"{"amount": 1}"#.to_owned()).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let again = send(Method::POST, &url, key, r#"{"amount": 1}"#.to_owned()).await;
    assert!(again.status == 201 && is_replayed(&again));
    assert_eq!(shop.payments().await, 1);
    assert_eq!(pay(&server.url, "another", &json!({"amount": 1})).await.json()["id"], 2);
}

#[tokio::test]
async fn a_key_belongs_to_one_caller() {
    let shop = Shop::new().await;
    let server = shop.binary().with("TOKEN_ISSUERS", tokens::issuers()).serve();
    let url = format!("{}/called/7", server.url);
    let pay = async |caller: &str| {
        let token = format!("Bearer {}", tokens::token(json!({"sub": caller})));
        let headers = [("idempotency-key", "k"), ("authorization", &token)];
        let answer = send(Method::POST, &url, &headers, r#"{"amount": 1}"#.to_owned()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        (answer.json()["id"].as_i64().unwrap(), is_replayed(&answer))
    };
    for (caller, expected) in [
        ("alice", (1, false)),
        ("bob", (2, false)),
        ("alice", (1, true)),
        ("alice\0", (3, false)),
        ("bob", (2, true)),
    ] {
        assert_eq!(pay(caller).await, expected, "{caller:?}");
    }
    let named = "SELECT count(*) FROM idempotency_keys WHERE caller ~ 'alice|bob' OR caller = ''";
    assert_eq!(
        (shop.stored().await, scalar(&shop.url, named).await),
        (3, 0),
        "no row has a subject"
    );
}

#[tokio::test]
async fn what_is_refused_before_the_transaction_leaves_the_key_free() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let url = format!("{}{ACCOUNT}", server.url);
    let key: &[(&str, &str)] = &[("idempotency-key", "k")];
    for (body, status) in [("{", 400), ("{}", 422), (&*"x".repeat(65 << 10), 413)] {
        let answer = send(Method::POST, &url, key, body.to_owned()).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(send(Method::DELETE, &url, key, String::new()).await.status, 405);
    assert_eq!(shop.stored().await, 0);
    let answer = pay(&server.url, "k", &json!({"amount": 1})).await;
    assert!(answer.status == 201 && !is_replayed(&answer));
}

#[tokio::test]
async fn a_request_without_a_body_has_a_key_too() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let url = format!("{}/without-a-body", server.url);
    let pay = async || send(Method::POST, &url, &[("idempotency-key", "k")], String::new()).await;
    assert_eq!(
        (pay().await.status, is_replayed(&pay().await)),
        (201.try_into().unwrap(), true)
    );
    assert_eq!(shop.payments().await, 1);
}

#[tokio::test]
async fn whatever_a_key_is_it_is_taken_as_it_is_or_refused() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let mut runner = TestRunner::default();
    let mut taken = 0;
    for _ in 0..100 {
        let hostile = hostile().new_tree(&mut runner).unwrap().current();
        let key: String = hostile.chars().filter(|c| !c.is_control()).take(1000).collect();
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        for key in [key, quoted] {
            let answer = pay(&server.url, &key, &json!({"amount": 1})).await;
            match answer.status.as_u16() {
                201 => taken += 1,
                400 => assert!(slug(&answer).starts_with("idempotency-key-"), "{key:?}"),
                _ => panic!("{key:?}: {}", answer.text()),
            }
        }
    }
    assert!(taken > 0, "no key was taken");
    assert!(shop.payments().await > 0);
}

#[tokio::test]
async fn a_head_of_any_size_is_refused_and_the_next_request_is_served() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let answer = pay(&server.url, &"k".repeat(256), &json!({"amount": 1})).await;
    assert_eq!(slug(&answer), "idempotency-key-invalid");
    let answer = pay(&server.url, &"k".repeat(1 << 20), &json!({"amount": 1})).await;
    assert_eq!(answer.status, 431);
    let longest = "k".repeat(255);
    assert_eq!(pay(&server.url, &longest, &json!({"amount": 1})).await.status, 201);
    assert!(is_replayed(&pay(&server.url, &longest, &json!({"amount": 1})).await));
}

#[tokio::test]
async fn a_handler_that_cannot_keep_the_promise_answers_500_and_does_nothing() {
    let shop = Shop::new().await;
    let mut server = shop.binary().serve();
    for (path, cause) in [
        ("/unread", "the body is read before the transaction begins"),
        ("/undeclared", "does not declare `once`"),
    ] {
        let answer = post(&format!("{}{path}", server.url), "k", &json!({"amount": 1})).await;
        assert_eq!(slug(&answer), "internal");
        server.next_line(cause).await;
    }
    assert_eq!((shop.payments().await, shop.stored().await), (0, 0));
}
