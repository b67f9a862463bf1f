//! Which answers are stored: what the handler has decided, and what it has not.

use crate::shop::{Shop, at, is_replayed, pay, slug};
use serde_json::json;

#[tokio::test]
async fn an_error_rolls_back_and_the_next_request_tries_again() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    for (kind, status) in [
        ("sold_out", 409),
        ("bad_gateway", 502),
        ("panics", 500),
        ("huge", 500),
        ("stream", 500),
    ] {
        for _ in 0..2 {
            let answer = pay(&server.url, kind, &json!({"amount": 1, "answer": kind})).await;
            assert_eq!(answer.status, status, "{kind}");
            assert!(!is_replayed(&answer), "{kind}");
        }
    }
    let answer = pay(&server.url, "negative", &json!({"amount": -1})).await;
    assert_eq!(slug(&answer), "not-positive");
    assert_eq!((shop.payments().await, shop.stored().await), (0, 0));
    let now = pay(&server.url, "sold_out", &json!({"amount": 1})).await;
    assert_eq!((now.status.as_u16(), shop.payments().await), (201, 1));
}

#[tokio::test]
async fn a_refusal_that_is_final_is_stored_with_its_effect() {
    let shop = Shop::new().await;
    let server = shop.binary().serve();
    let declined = json!({"amount": 1, "answer": "declined"});
    let first = pay(&server.url, "k", &declined).await;
    let second = pay(&server.url, "k", &declined).await;
    assert_eq!((&*slug(&first), is_replayed(&first)), ("declined", false));
    assert_eq!((&*slug(&second), is_replayed(&second)), ("declined", true));
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn without_a_database_the_function_says_so() {
    let server = at("postgresql://a@127.0.0.1:1/a").serve();
    let answer = pay(&server.url, "k", &json!({"amount": 1})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["reason"]),
        (503, &json!("unreachable"))
    );
}
