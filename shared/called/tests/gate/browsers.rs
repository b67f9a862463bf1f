//! Pages: a token in a cookie, other origins, and caches.

use crate::{bearer, called, get, refusal, refused, scoped};
use hyper::Method;
use testing::{Binary, Client, EventShape, Exchange, FakeRuntimeApi};

const ORIGIN: &str = "https://app.example.com";

fn with_cookie() -> Binary {
    called()
        .with("TOKEN_COOKIE", "__Host-token")
        .with("CORS_ORIGINS", ORIGIN)
}

fn cookie(token: &str) -> String {
    format!("theme=dark; __Host-token={token}")
}

async fn order(url: &str, headers: &[(&str, &str)]) -> Exchange {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let client = Client::http1();
    client
        .exchange(Method::POST, &format!("{url}/orders"), &headers, "{}".into())
        .await
}

#[tokio::test]
async fn a_request_that_changes_something_by_cookie_needs_a_page_that_may() {
    let server = with_cookie().serve();
    let token = scoped("orders:write profile");
    let cookie = cookie(&token);
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example.com")],
        &[("origin", "https://evil.example.com"), ("sec-fetch-site", "cross-site")],
    ] {
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        assert_eq!(
            refused(&order(&server.url, &headers).await),
            refusal(403, "origin-refused"),
            "{headers:?}"
        );
    }
    for page in [("origin", ORIGIN), ("sec-fetch-site", "same-origin")] {
        let answer = order(&server.url, &[("cookie", &cookie), page]).await;
        assert_eq!(answer.status, 200, "{}", answer.transcript());
    }
    let header = [
        ("authorization", &*bearer(&token)),
        ("origin", "https://evil.example.com"),
    ];
    let answer = order(&server.url, &header).await;
    assert_eq!(
        answer.status, 200,
        "no page can make another's browser send this header"
    );
}

#[tokio::test]
async fn a_cookie_counts_where_a_setting_names_it_and_no_header_is_sent() {
    let (server, without) = (with_cookie().serve(), called().serve());
    let cookie = cookie(&scoped(""));
    let whoami = |url: &str| format!("{url}/whoami");
    let answer = get(&whoami(&server.url), &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, 200, "{}", answer.transcript());
    let answer = get(&whoami(&without.url), &[("cookie", &cookie)]).await;
    assert_eq!(refused(&answer), refusal(401, "token-missing"));
    let answer = get(
        &whoami(&server.url),
        &[("cookie", &cookie), ("authorization", "Bearer x")],
    )
    .await;
    assert_eq!(refused(&answer), refusal(401, "token-malformed"));
    let twice = get(&whoami(&server.url), &[("cookie", &cookie), ("cookie", &cookie)]).await;
    assert_eq!(refused(&twice), refusal(401, "token-malformed"));
}

#[tokio::test]
async fn on_lambda_a_cookie_counts_in_every_event() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = with_cookie().on_lambda(&api);
    let cookie = cookie(&scoped(""));
    for shape in EventShape::ALL {
        let answer = api
            .exchange(&shape.event("GET", "/whoami", &[("cookie", &cookie)]))
            .await;
        assert_eq!(answer.status, 200, "{shape:?}: {}", answer.transcript());
    }
    let mut event = EventShape::FunctionUrl.event("GET", "/whoami", &[]);
    event["cookies"] = cookie.split("; ").collect();
    assert_eq!(api.exchange(&event).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_origin_may_ask_without_a_token_and_read_the_refusal() {
    let server = with_cookie().serve();
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let client = Client::http1();
    let answer = client
        .send(Method::OPTIONS, &format!("{}/orders", server.url), &preflight)
        .await;
    assert_eq!(answer.status, 204);
    let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("authorization"), "{allowed}");
    let answer = get(&format!("{}/whoami", server.url), &[("origin", ORIGIN)]).await;
    assert_eq!(refused(&answer), refusal(401, "token-missing"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN);
    let readable = answer.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(readable.contains("www-authenticate"), "{readable}");
}

#[tokio::test]
async fn no_shared_cache_keeps_an_answer_to_a_caller() {
    let server = with_cookie().serve();
    let cookie = cookie(&scoped(""));
    for (path, expected) in [
        ("/whoami", &["no-store"][..]),
        ("/cached", &["max-age=60, private"]),
        ("/download", &["no-store"]),
        ("/public", &[]),
    ] {
        let answer = get(&format!("{}{path}", server.url), &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, 200, "{path}");
        let said: Vec<_> = answer.headers.get_all("cache-control").iter().collect();
        assert_eq!(said, expected, "{path}");
        let vary = answer.headers.get_all("vary").iter();
        let vary: Vec<_> = vary.map(|vary| vary.to_str().unwrap()).collect();
        let varies = |name: &str| vary.iter().any(|vary| vary.contains(name));
        let is_kept = path == "/cached";
        assert_eq!(
            (varies("origin"), varies("authorization"), varies("cookie")),
            (true, is_kept, is_kept),
            "{path}: {vary:?}"
        );
    }
}
