//! Credentials that no client should send: each is refused, and nothing else happens.

use crate::{called, get, refusal, refused};
use axum::body::Body;
use hyper::{Method, Request};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testing::{Client, EventShape, FakeRuntimeApi, hostile, hostile_request, problem_type, tokens};
use tokio::task::JoinSet;

#[tokio::test]
async fn two_credentials_are_none_in_every_life() {
    let (server, api) = (called().serve(), FakeRuntimeApi::start().await);
    let _lambda = called().on_lambda(&api);
    let token = crate::bearer(&tokens::token(json!({})));
    for second in [&*token, "Basic YTpi", ""] {
        let headers = [("authorization", &*token), ("authorization", second)];
        for client in [Client::http1(), Client::h2c()] {
            let answer = client
                .send(Method::GET, &format!("{}/whoami", server.url), &headers)
                .await;
            assert_eq!(refused(&answer), refusal(401, "token-malformed"), "{second:?}");
        }
        let mut event = EventShape::RestApi.event("GET", "/whoami", &[]);
        event["multiValueHeaders"]["authorization"] = json!([token, second]);
        assert_eq!(
            refused(&api.exchange(&event).await),
            refusal(401, "token-malformed"),
            "{second:?}"
        );
    }
    // Function URLs and HTTP APIs join headers.
    let joined = format!("{token},{token}");
    let event = EventShape::FunctionUrl.event("GET", "/whoami", &[("authorization", &joined)]);
    assert_eq!(refused(&api.exchange(&event).await), refusal(401, "token-malformed"));
}

#[tokio::test]
async fn a_huge_token_is_refused_at_no_cost() {
    let (server, api) = (called().serve(), FakeRuntimeApi::start().await);
    let _lambda = called().on_lambda(&api);
    let huge = format!("Bearer {}", "x".repeat(64 << 10));
    let start = Instant::now();
    // A server reads no head of this size.
    let answer = get(&format!("{}/whoami", server.url), &[("authorization", &huge)]).await;
    assert_eq!(answer.status, 431);
    let answer = api
        .exchange(&EventShape::HttpApi.event("GET", "/whoami", &[("authorization", &huge)]))
        .await;
    assert_eq!(refused(&answer), refusal(401, "token-malformed"));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(get(&format!("{}/public", server.url), &[]).await.status, 200);
}

#[tokio::test]
async fn a_token_in_a_query_or_a_body_is_nobodys() {
    let server = called().serve();
    let token = crate::scoped("orders:write profile");
    let url = format!("{}/whoami?access_token={token}&token={token}", server.url);
    assert_eq!(refused(&get(&url, &[]).await), refusal(401, "token-missing"));
    let body = Body::from(format!("access_token={token}"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let client = Client::http1();
    let answer = client
        .exchange(Method::POST, &format!("{}/orders", server.url), &form, body)
        .await;
    assert_eq!(refused(&answer), refusal(401, "token-missing"));
}

/// Text that is a token, nearly one, or anything.
fn credential() -> impl Strategy<Value = Vec<u8>> {
    let valid = tokens::token(json!({"exp": 1}));
    let parts: Vec<String> = valid.split('.').map(str::to_owned).collect();
    let part = prop_oneof![
        proptest::sample::select(parts),
        hostile(),
        "[A-Za-z0-9_=+/-]{0,40}",
        Just("e30".to_owned()),
        Just("eyJhbGciOiJub25lIn0".to_owned()),
    ];
    let token = proptest::collection::vec(part, 0..6).prop_map(|parts| parts.join("."));
    let scheme = prop_oneof![
        Just("Bearer "),
        Just("bearer  "),
        Just("Bearer"),
        Just("Basic "),
        Just("")
    ];
    let text = (scheme, token).prop_map(|(scheme, token)| format!("{scheme}{token}").into_bytes());
    prop_oneof![4 => text, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

#[tokio::test]
async fn a_route_that_is_not_public_answers_no_bad_token_with_anything_but_401_403_and_503() {
    let server = called().with("TOKEN_COOKIE", "__Host-token").serve();
    let (client, mut runner, mut asked) = (Client::http1(), TestRunner::default(), 0);
    for (method, path) in [
        ("GET", "/whoami"),
        ("GET", "/numbers"),
        ("POST", "/orders"),
        ("PUT", "/files/{path}"),
        ("GET", "/files/{path}"),
    ] {
        for _ in 0..200 {
            let sent = hostile_request(path).new_tree(&mut runner).unwrap().current();
            let token = credential().new_tree(&mut runner).unwrap().current();
            let mut request = Request::builder()
                .method(method)
                .uri(format!("{}{}", server.url, sent.target));
            for (name, value) in &sent.headers {
                request = request.header(name, value);
            }
            let name = if asked % 3 == 0 { "cookie" } else { "authorization" };
            let value = if name == "cookie" {
                [b"__Host-token=", &token[..]].concat()
            } else {
                token
            };
            let Ok(request) = request.header(name, value).body(Body::from(sent.body.clone())) else {
                continue;
            };
            let answer = client.request(request).await;
            // A path that is empty, or has a slash more or less, is another.
            if answer.status == 404 {
                continue;
            }
            asked += 1;
            assert!(
                [401, 403, 503].contains(&answer.status.as_u16()),
                "{}: {sent:?}",
                answer.transcript()
            );
            problem_type(&answer).unwrap();
        }
    }
    assert!(asked > 500, "only {asked} have reached a route");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// The kit's issuer, with its keys at this server.
fn issuers_at(url: &str) -> String {
    let mut issuers: Value = serde_json::from_str(&tokens::issuers()).unwrap();
    let issuer = issuers[0].as_object_mut().unwrap();
    issuer.remove("jwks").unwrap();
    issuer.insert("jwks_url".to_owned(), format!("{url}/keys").into());
    issuers.to_string()
}

#[tokio::test]
async fn on_lambda_an_issuer_that_does_not_answer_is_503_before_the_invocation_ends() {
    let ((listener, url), api) = (testing::loopback().await, FakeRuntimeApi::start().await);
    let _lambda = called().with("TOKEN_ISSUERS", issuers_at(&url)).on_lambda(&api);
    let token = crate::bearer(&tokens::token(json!({})));
    let event = EventShape::HttpApi.event("GET", "/whoami", &[("authorization", &token)]);
    // The first invocation waits for the process to start.
    api.exchange(&EventShape::HttpApi.event("GET", "/public", &[])).await;
    let (start, time) = (Instant::now(), Duration::from_secs(2));
    let answer = api.invoke(&event, time).await.exchange().await;
    let took = start.elapsed();
    assert_eq!(refused(&answer), refusal(503, "unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(took < time && took > time * 2 / 5, "{took:?}");
    drop(listener);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_holds_up_its_callers_for_a_bounded_time_and_nobody_else() {
    let (listener, url) = testing::loopback().await;
    let server = called().with("TOKEN_ISSUERS", issuers_at(&url)).serve();
    let token = crate::bearer(&tokens::token(json!({})));
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let (url, token) = (format!("{}/whoami", server.url), token.clone());
        waiting.spawn(async move { get(&url, &[("authorization", &token)]).await });
    }
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(&format!("{}/public", server.url), &[]).await.status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for answer in waiting.join_all().await {
        assert_eq!(refused(&answer), refusal(503, "unavailable"));
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    drop(listener);
}

/// A token of this length, or up to two bytes less, because three bytes are four characters.
fn padded(length: usize) -> String {
    let token = |padding: usize| tokens::token(json!({"text": "x".repeat(padding)}));
    let padding = (length - token(0).len()) / 4 * 3;
    let fitting = (padding..padding + 6).rev().map(token);
    let token = fitting.into_iter().find(|token| token.len() <= length);
    let token = token.expect("a shorter one fits");
    assert!(token.len() + 2 >= length, "{} of {length}", token.len());
    token
}

/// The head of a request has 16 KiB in all: the longest token, and as much again.
#[tokio::test]
async fn a_token_of_8_kib_is_read_in_every_life_and_a_longer_one_is_refused() {
    let (server, api) = (called().serve(), FakeRuntimeApi::start().await);
    let _lambda = called().on_lambda(&api);
    let (url, rest) = (format!("{}/whoami", server.url), "x".repeat(7 * 1024));
    let (longest, longer) = (padded(8 * 1024), padded(8 * 1024 + 4));
    for (token, expected) in [
        (&longest, (200, String::new())),
        (&longer, refusal(401, "token-malformed")),
    ] {
        let token = crate::bearer(token);
        let headers = [("authorization", &*token), ("x-rest", &rest)];
        for client in [Client::http1(), Client::h2c()] {
            let answer = client.send(Method::GET, &url, &headers).await;
            assert_eq!(refused(&answer), expected, "{}", token.len());
        }
        for shape in EventShape::ALL {
            let answer = api.exchange(&shape.event("GET", "/whoami", &headers)).await;
            assert_eq!(refused(&answer), expected, "{shape:?} {}", token.len());
        }
    }
    let huge = "x".repeat(16 * 1024);
    for client in [Client::http1(), Client::h2c()] {
        let answer = client.send(Method::GET, &url, &[("x-rest", &huge)]).await;
        assert_eq!(answer.status, 431);
    }
}
