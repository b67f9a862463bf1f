//! An answer ends with the token of its caller.

use crate::{bearer, called};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use testing::{Binary, Client, EventShape, FakeRuntimeApi, tokens};
use tokio::time::timeout;

fn streaming() -> Binary {
    called().with("STREAMED", "1")
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn ending(exp: u64) -> String {
    bearer(&tokens::token(json!({"exp": exp})))
}

/// The ids of the events, which must all be whole.
fn ids(stream: &str) -> Vec<u64> {
    assert!(stream.ends_with("\n\n"), "the last event is cut off: {stream:?}");
    let lines = stream.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(|id| id.parse().unwrap()).collect()
}

/// The stream to its end, and how long it took; `None` if it had none within 5 s.
async fn stream(client: &Client, url: &str, token: &str, last: u64) -> Option<(Vec<u64>, Duration)> {
    let (start, last) = (Instant::now(), last.to_string());
    let headers = [("authorization", token), ("last-event-id", &last)];
    let answer = client.open(Method::GET, &format!("{url}/numbers"), &headers).await;
    assert_eq!(answer.status(), 200);
    let body = timeout(Duration::from_secs(5), answer.into_body().collect())
        .await
        .ok()?;
    let text = String::from_utf8(body.expect("the stream is whole").to_bytes().to_vec()).unwrap();
    Some((ids(&text), start.elapsed()))
}

#[tokio::test]
async fn a_stream_ends_with_its_token_between_two_events_and_goes_on_with_a_new_one() {
    let server = streaming().serve();
    for client in [Client::http1(), Client::h2c()] {
        let mut seen = Vec::new();
        // The second has ended, and is taken because clocks differ.
        for exp in [3, -57] {
            let token = ending(now().checked_add_signed(exp).unwrap());
            let last = seen.last().copied().unwrap_or(0);
            let (ids, took) = stream(&client, &server.url, &token, last).await.expect("it ends");
            assert!(!ids.is_empty() && took < Duration::from_millis(4500), "{took:?}");
            seen.extend(ids);
        }
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        let endless = stream(&client, &server.url, &ending(now() + 3600), 0).await;
        assert!(endless.is_none(), "the control: {endless:?}");
    }
}

#[tokio::test]
async fn on_lambda_a_stream_ends_with_its_token_and_not_with_the_invocation() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = streaming().on_lambda(&api);
    let token = ending(now() + 3);
    let event = EventShape::FunctionUrl.event("GET", "/numbers", &[("authorization", &token)]);
    let start = Instant::now();
    let mut posted = api.invoke(&event, Duration::from_secs(60)).await;
    let stream: Bytes = posted.rest().await.into();
    assert!(start.elapsed() < Duration::from_millis(4500), "{:?}", start.elapsed());
    assert!(posted.trailers.is_none(), "{:?}", posted.stream_error());
    assert!(stream.ends_with(b"\n\n"), "{stream:?}");
}

#[tokio::test]
async fn a_handler_that_waits_for_its_deadline_waits_no_longer_than_the_token_lives() {
    let server = called().serve();
    let start = Instant::now();
    let answer = crate::get(
        &format!("{}/slow", server.url),
        &[("authorization", &ending(now() + 2))],
    )
    .await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"over"[..]));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_token_that_was_taken_is_refused_once_it_has_ended() {
    let server = called().serve();
    let token = ending(now() - 58);
    let url = format!("{}/whoami", server.url);
    let ask = async || crate::get(&url, &[("authorization", &token)]).await;
    assert_eq!(ask().await.status, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(crate::refused(&ask().await), crate::refusal(401, "token-expired"));
}

#[tokio::test]
async fn a_token_that_has_ended_or_not_begun_is_refused_beyond_the_skew() {
    let server = called().serve();
    for (claims, slug) in [
        (json!({"exp": now() - 90}), "token-expired"),
        (json!({"nbf": now() + 90}), "token-not-yet-valid"),
        (json!({"exp": Value::Null}), "token-malformed"),
    ] {
        let token = bearer(&tokens::token(claims.clone()));
        let answer = crate::get(&format!("{}/whoami", server.url), &[("authorization", &token)]).await;
        assert_eq!(crate::refused(&answer), crate::refusal(401, slug), "{claims}");
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.starts_with("Bearer") && challenge.contains("invalid_token"),
            "{challenge}"
        );
    }
}
