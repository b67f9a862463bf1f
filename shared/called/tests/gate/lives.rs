//! The same requests have the same answers in every life.

use crate::{called, scoped};
use hyper::Method;
use serde_json::json;
use testing::{
    matrix::{Expected, same_in_every_life},
    tokens,
};

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

fn expected(method: Method, path: &'static str, status: u16) -> Expected {
    let content_type = match status {
        200 if path == "/whoami" || path == "/orders" => JSON,
        200 => "text/plain; charset=utf-8",
        _ => PROBLEM,
    };
    Expected::new(method, path, status, content_type)
}

/// Without a token, or with one that is not valid.
fn refused() -> Vec<Expected> {
    let order = || expected(Method::POST, "/orders", 401);
    let no_token = vec![
        expected(Method::GET, "/whoami", 401),
        expected(Method::HEAD, "/whoami", 401),
        expected(Method::GET, "/whoami?access_token=a.b.c", 401),
        expected(Method::GET, "/cached", 401),
        order(),
        order().sending(JSON, b"{"),
        order().sending("text/plain", b"x"),
        order().sending(JSON, &[b' '; 2 << 10]),
        expected(Method::PUT, "/files/a", 401).sending("text/plain", b"x"),
        expected(Method::GET, "/whoami", 401).sending("text/plain", b"x"),
    ];
    let invalid = [
        "x".to_owned(),
        tokens::token(json!({"exp": 1})),
        tokens::token(json!({"aud": "another"})),
        tokens::token(json!({"iss": "https://another.test"})),
    ];
    let invalid = invalid.map(|token| expected(Method::GET, "/whoami", 401).bearer(&token));
    no_token.into_iter().chain(invalid).collect()
}

/// What depends on no caller.
fn open() -> Vec<Expected> {
    vec![
        expected(Method::GET, "/public", 200),
        expected(Method::GET, "/public", 200).bearer("x"),
        expected(Method::GET, "/nowhere", 404).bearer("x"),
        expected(Method::POST, "/whoami", 405),
        expected(Method::DELETE, "/whoami", 405).bearer("x"),
    ]
}

#[tokio::test]
async fn nobody_gets_through_without_a_token_and_content_is_not_looked_at() {
    same_in_every_life(&called(), &[refused(), open()].concat()).await;
}

fn admitted() -> Vec<Expected> {
    let any = scoped("profile");
    let writer = scoped("profile orders:write");
    let reader = scoped("files:read:cases/ files:write:cases/42");
    let order = |token: &str| {
        expected(Method::POST, "/orders", 200)
            .bearer(token)
            .sending(JSON, b"{}")
    };
    let of = |method: Method, path, status, token: &str| expected(method, path, status).bearer(token);
    vec![
        of(Method::GET, "/whoami", 200, &any),
        of(Method::HEAD, "/whoami", 200, &any),
        of(Method::GET, "/whoami", 400, &any).sending("text/plain", b"x"),
        of(Method::POST, "/whoami", 405, &any),
        order(&writer),
        of(Method::POST, "/orders", 403, &any).sending("text/plain", b"x"),
        of(Method::POST, "/orders", 403, &scoped("orders:write:cases/ profile")),
        of(Method::POST, "/orders", 415, &writer).sending("text/plain", b"x"),
        of(Method::POST, "/orders", 400, &writer).sending(JSON, b"{"),
        of(Method::GET, "/files/cases/42", 200, &reader),
        of(Method::GET, "/files/cases%2F42", 200, &reader),
        of(Method::GET, "/files/other/42", 403, &reader),
        of(Method::GET, "/files/cases", 403, &reader),
        of(Method::GET, "/files/cases/../other", 403, &reader),
        of(Method::GET, "/files/cases/%2e%2e/other", 403, &reader),
        of(Method::GET, "/files/cases/%2E%2E%2Fother", 403, &reader),
        of(Method::PUT, "/files/cases/42/a", 200, &reader).sending("text/plain", b"x"),
        of(Method::PUT, "/files/cases/421", 403, &reader).sending("text/plain", b"x"),
    ]
}

#[tokio::test]
async fn a_caller_gets_through_to_what_its_token_permits() {
    same_in_every_life(&called(), &admitted()).await;
}
