//! What the suite of the protocol does not test, over HTTP.

#![allow(clippy::unwrap_used)]

mod edges;
mod server;

use axum::body::Body;
use futures_util::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value, json};
use server::{JSON, Server, TEXT, next_offset, slug, token};
use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};
use testing::{Client, Exchange, tokens};
use tokio::time::timeout;

/// The fields of each event that has one.
fn events(stream: &Exchange) -> Vec<Vec<(String, String)>> {
    let text = std::str::from_utf8(&stream.body).unwrap();
    let field = |line: &str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_owned(), value.trim_start().to_owned()))
    };
    let blocks = text
        .split("\n\n")
        .map(|block| block.lines().filter_map(field).collect::<Vec<_>>());
    blocks.filter(|event| !event.is_empty()).collect()
}

fn field<'a>(event: &'a [(String, String)], name: &str) -> &'a str {
    event
        .iter()
        .find(|(field, _)| field == name)
        .map_or("", |(_, value)| value)
}

#[tokio::test]
async fn a_cursor_of_a_stream_that_was_deleted_gets_410_and_never_the_data_of_the_next_one() {
    let server = Server::start().await;
    let old = server.create("a", &[TEXT], "old data").await;
    assert_eq!(server.ask(Method::DELETE, "stream/a", &[], "").await.status, 204);
    server.create("a", &[TEXT], "new").await;
    server.append("a", &[TEXT], " data, and more of it").await;
    for query in ["", "&live=long-poll", "&live=sse"] {
        let answer = server.get(&format!("stream/a?offset={old}{query}"), &[]).await;
        assert_eq!(
            (answer.status.as_u16(), &*slug(&answer)),
            (410, "offset-gone"),
            "{query}"
        );
    }
    let answer = server
        .get("stream/a?offset=-1&live=sse", &[("last-event-id", &old)])
        .await;
    assert_eq!(slug(&answer), "offset-gone");
}

/// 304 leaves the headers of the client's copy as they are.
#[tokio::test]
async fn a_page_that_is_no_longer_the_last_one_is_not_confirmed() {
    let server = Server::start().await;
    let large = "x".repeat(600_000);
    server.create("a", &[TEXT], &large).await;
    let page = async |etag: &str| server.get("stream/a?offset=-1", &[("if-none-match", etag)]).await;
    let first = page("").await;
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.headers["stream-up-to-date"], "true");
    assert_eq!(page(&etag).await.status, 304);
    server.append("a", &[TEXT], &large).await;
    let second = page(&etag).await;
    assert_eq!((second.status.as_u16(), second.body.len()), (200, large.len()));
    assert!(!second.headers.contains_key("stream-up-to-date"));
    assert_eq!(page(second.headers["etag"].to_str().unwrap()).await.status, 304);
}

#[tokio::test]
async fn a_browser_comes_back_by_the_id_of_any_event_and_stops_at_the_end() {
    let server = Server::start().await;
    server.create("a", &[JSON], "[1,2]").await;
    let middle = server.append("a", &[JSON], "3").await;
    server.append("a", &[JSON, ("stream-closed", "true")], "4").await;
    let whole = server.get("stream/a?offset=-1&live=sse", &[]).await;
    assert!(whole.body.starts_with(b"retry: 2000\n"), "{}", whole.transcript());
    for event in events(&whole) {
        assert!(!field(&event, "id").is_empty(), "no id: {event:?}");
    }
    let rest = server
        .get("stream/a?offset=-1&live=sse", &[("last-event-id", &middle)])
        .await;
    let rest = events(&rest);
    assert_eq!(field(&rest[0], "data"), "[4]");
    let end = field(rest.last().unwrap(), "id").to_owned();
    let answer = server
        .get("stream/a?offset=-1&live=sse", &[("last-event-id", &end)])
        .await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]));
    let answer = server
        .get("stream/a?offset=-1&live=sse", &[("last-event-id", "x")])
        .await;
    assert_eq!(slug(&answer), "invalid-parameter");
}

#[tokio::test]
async fn several_streams_are_one_event_stream_that_goes_on_where_it_was() {
    let server = Server::start().await;
    server.create("a", &[JSON], "[1]").await;
    server.create("b/c", &[TEXT], "one").await;
    server.create("d", &[("content-type", "image/png")], "two").await;
    for path in ["a", "b/c", "d"] {
        server.append(path, &[("stream-closed", "true")], "").await;
    }
    let query = "streams?live=sse&read=a@-1&read=b/c@-1&read=d@-1";
    let whole = server.get(query, &[]).await;
    let whole = events(&whole);
    let data = whole.iter().filter(|event| field(event, "event") == "data");
    let mut data: Vec<Value> = data
        .map(|event| serde_json::from_str(field(event, "data")).unwrap())
        .collect();
    data.sort_by_key(|data| data["stream"].as_str().unwrap().to_owned());
    let expected = [
        json!({"stream": "a", "messages": [1]}),
        json!({"stream": "b/c", "text": "one"}),
        json!({"stream": "d", "base64": "dHdv"}),
    ];
    assert_eq!(data, expected);
    // From the first event on, the others are still to come, and the first is not repeated.
    let first: Value = serde_json::from_str(field(&whole[0], "data")).unwrap();
    let rest = server.get(query, &[("last-event-id", field(&whole[0], "id"))]).await;
    let rest = events(&rest);
    let rest: Vec<Value> = rest
        .iter()
        .filter(|event| field(event, "event") == "data")
        .map(|event| serde_json::from_str(field(event, "data")).unwrap())
        .collect();
    assert_eq!(rest.len(), 2);
    assert!(!rest.contains(&first));
    let end = field(whole.last().unwrap(), "id");
    assert_eq!(server.get(query, &[("last-event-id", end)]).await.status, 204);
}

#[tokio::test]
async fn an_append_of_a_producer_is_stored_once_however_often_it_is_sent() {
    let server = Server::start().await;
    server.create("a", &[JSON], "").await;
    let send = async |epoch: &'static str, seq: &'static str| {
        let producer = [
            JSON,
            ("producer-id", "p"),
            ("producer-epoch", epoch),
            ("producer-seq", seq),
        ];
        server.ask(Method::POST, "stream/a", &producer, seq).await
    };
    for (epoch, seq, status) in [
        ("0", "1", 409),
        ("0", "0", 200),
        ("0", "0", 204),
        ("0", "1", 200),
        ("0", "0", 204),
        ("0", "3", 409),
        ("1", "1", 400),
        ("1", "0", 200),
        ("0", "2", 403),
    ] {
        let answer = send(epoch, seq).await;
        assert_eq!(answer.status, status, "{epoch} {seq}: {}", answer.transcript());
    }
    assert_eq!(server.get("stream/a", &[]).await.json(), json!([0, 1, 0]));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_a_slug() {
    let server = Server::start().await;
    let end = server.create("a", &[TEXT], "data").await;
    server
        .create("closed", &[TEXT, ("stream-closed", "true")], "data")
        .await;
    let beyond = end[..32].to_owned() + "9";
    let beyond_query = format!("stream/a?offset={beyond}");
    for (method, target, headers, body, status, expected) in [
        (Method::GET, &*beyond_query, &[][..], "", 400, "offset-beyond"),
        // A load balancer hands over the last of two to Lambda: there, this is answered.
        (
            Method::GET,
            "stream/a?offset=-1&offset=-1",
            &[],
            "",
            400,
            "invalid-parameter",
        ),
        (Method::GET, "stream/none", &[], "", 404, "stream-not-found"),
        (Method::GET, "stream/a%00b", &[], "", 400, "invalid-parameter"),
        (Method::POST, "stream/a", &[], "x", 400, "invalid-header"),
        (Method::POST, "stream/a", &[TEXT], "", 400, "empty-append"),
        (
            Method::POST,
            "stream/a",
            &[TEXT, ("producer-id", "p")],
            "x",
            400,
            "invalid-header",
        ),
        (Method::POST, "stream/a", &[JSON], "[]", 400, "empty-append"),
        (Method::POST, "stream/a", &[JSON], "1", 409, "content-type-differs"),
        (Method::POST, "stream/closed", &[TEXT], "x", 409, "stream-closed"),
        (Method::POST, "stream/none", &[TEXT], "x", 404, "stream-not-found"),
        (Method::PUT, "stream/a", &[JSON], "", 409, "stream-exists"),
        (
            Method::PUT,
            "stream/b",
            &[("stream-ttl", "1s")],
            "",
            400,
            "invalid-header",
        ),
        (
            Method::PUT,
            "stream/b",
            &[("stream-fork-offset", "-1")],
            "",
            400,
            "invalid-header",
        ),
        (
            Method::PUT,
            "stream/b",
            &[("stream-forked-from", "/v1/stream/none")],
            "",
            404,
            "fork-source-not-found",
        ),
        (
            Method::PUT,
            "stream/b",
            &[("content-type", "none")],
            "",
            400,
            "invalid-header",
        ),
        (
            Method::GET,
            "streams?live=sse&read=a@-1&read=none@-1",
            &[],
            "",
            404,
            "stream-not-found",
        ),
    ] {
        let answer = server.ask(method.clone(), target, headers, body).await;
        let found = (answer.status.as_u16(), slug(&answer));
        assert_eq!(
            found,
            (status, expected.to_owned()),
            "{method} {target} {}",
            answer.transcript()
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    assert_eq!(server.get("stream/a", &[]).await.body, "data", "nothing was stored");
    assert_eq!(server.get("stream/b", &[]).await.status, 404, "nothing was created");
}

#[tokio::test]
async fn an_append_that_is_too_large_is_refused_while_it_arrives_and_stores_nothing() {
    let server = Server::with(&[("STREAM_MAX_APPEND", "2048")]).await;
    let end = server.create("a", &[TEXT], "").await;
    let answer = server.ask(Method::POST, "stream/a", &[TEXT], &"x".repeat(2049)).await;
    assert_eq!(slug(&answer), "body-too-large");
    // Of a length that nobody has said, and that has no end.
    for client in [Client::http1(), Client::h2c()] {
        let endless = stream::repeat("x".repeat(500)).map(Ok::<_, Infallible>);
        let begun = endless.take(5).chain(stream::pending());
        let headers = [TEXT, ("authorization", &server.token)];
        let url = format!("{}/v1/stream/a", server.process.url);
        let answer = client.exchange(Method::POST, &url, &headers, Body::from_stream(begun));
        let answer = timeout(Duration::from_secs(5), answer)
            .await
            .expect("it is refused at once");
        assert_eq!(slug(&answer), "body-too-large");
    }
    assert_eq!(next_offset(&server.get("stream/a", &[]).await.headers), end);
    server.append("a", &[TEXT], &"x".repeat(2048)).await;
}

#[tokio::test]
async fn a_reader_leaves_with_its_token_and_goes_on_with_the_next_one() {
    let server = Server::with(&[("STREAM_LONG_POLL", "20s")]).await;
    server.create("a", &[TEXT], "before").await;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = tokens::token(json!({"scope": "streams:read", "exp": now + 3}));
    let short = [("authorization", &*format!("Bearer {token}"))];
    let ask = async |target: &str| {
        let url = format!("{}/v1/{target}", server.process.url);
        let answer = server.client.send(Method::GET, &url, &short).await;
        (answer, SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs())
    };
    let (sse, many, poll) = tokio::join!(
        ask("stream/a?offset=-1&live=sse"),
        ask("streams?live=sse&read=a@-1"),
        ask("stream/a?offset=now&live=long-poll"),
    );
    for (answer, ended) in [&sse, &many] {
        assert!((now + 2..now + 6).contains(ended), "{ended}, of {now}");
        assert_eq!(answer.status, 200);
        assert!(answer.body.ends_with(b"\n\n"), "{}", answer.transcript());
    }
    assert_eq!((poll.0.status.as_u16(), poll.1 < now + 6), (204, true));
    server.append("a", &[("stream-closed", "true"), TEXT], "after").await;
    for (answer, target) in [(&sse.0, "stream/a?offset=-1"), (&many.0, "streams?read=a@-1")] {
        let end = field(events(answer).last().unwrap(), "id").to_owned();
        let rest = server
            .get(&format!("{target}&live=sse"), &[("last-event-id", &end)])
            .await;
        assert!(rest.transcript().contains("after") && !rest.transcript().contains("before"));
    }
}

#[tokio::test]
async fn a_page_has_an_end_and_the_next_one_begins_there() {
    let server = Server::with(&[("STREAM_PAGE", "1024")]).await;
    server.create("a", &[JSON], "").await;
    for number in 0..40 {
        server
            .append("a", &[JSON], &format!("[{number}, \"{}\"]", "x".repeat(90)))
            .await;
    }
    let (mut offset, mut read, mut pages) = ("-1".to_owned(), Vec::new(), 0);
    loop {
        let page = server.get(&format!("stream/a?offset={offset}"), &[]).await;
        assert!(page.body.len() <= 1200, "{} bytes", page.body.len());
        read.extend(page.json().as_array().unwrap().iter().filter_map(Value::as_i64));
        pages += 1;
        offset = next_offset(&page.headers);
        if page.headers.contains_key("stream-up-to-date") {
            break;
        }
        assert!(!page.headers.contains_key("stream-closed"));
    }
    assert_eq!(read, Vec::from_iter(0..40));
    assert!(pages >= 4, "{pages} pages");
}

#[tokio::test]
async fn numbers_and_names_come_back_as_they_were_sent() {
    let server = Server::start().await;
    let sent = r#"{"a":12345678901234567890123.10,"a":"\u0041\/","":-0.0e+1}"#;
    server.create("a", &[JSON], sent).await;
    assert_eq!(server.get("stream/a", &[]).await.body, format!("[{sent}]"));
}

#[tokio::test]
async fn a_caller_reads_and_writes_what_its_scopes_permit() {
    let mut server = Server::start().await;
    for path in ["cases/42/events", "cases/421", "other"] {
        server.create(path, &[TEXT], "secret").await;
    }
    server.token = token("streams:read:cases/42");
    let fork = [TEXT, ("stream-forked-from", "/v1/stream/other")];
    for (method, target, headers, status) in [
        (Method::GET, "stream/cases/42/events", &[][..], 200),
        (Method::HEAD, "stream/cases/42/events", &[], 200),
        (
            Method::GET,
            "stream/cases%2F42%2Fevents?offset=-1&live=long-poll",
            &[],
            200,
        ),
        (Method::GET, "stream/cases/421", &[], 403),
        (Method::GET, "stream/other?offset=-1&live=sse", &[], 403),
        (Method::GET, "stream/cases/42/../../other", &[], 403),
        (
            Method::GET,
            "streams?live=sse&read=cases/42/events@-1&read=other@-1",
            &[],
            403,
        ),
        (Method::PUT, "stream/cases/42/new", &[TEXT], 403),
        (Method::POST, "stream/cases/42/events", &[TEXT], 403),
        (Method::DELETE, "stream/cases/42/events", &[], 403),
    ] {
        let answer = server.ask(method.clone(), target, headers, "").await;
        assert_eq!(answer.status, status, "{method} {target} {}", answer.transcript());
    }
    server.token = token("streams:read:cases/ streams:write:cases/");
    let answer = server.ask(Method::PUT, "stream/cases/fork", &fork, "").await;
    assert_eq!(
        (answer.status.as_u16(), &*slug(&answer)),
        (403, "scope-missing"),
        "a fork reads its source"
    );
    let fork = [TEXT, ("stream-forked-from", "/v1/stream/cases/421")];
    server.create("cases/fork", &fork, "").await;
    server.token = String::new();
    assert_eq!(slug(&server.get("stream/other", &[]).await), "token-missing");
}
