//! Values at the edges of what the protocol permits.

use crate::server::{JSON, Server, TEXT, next_offset, slug};
use hyper::Method;
use testing::{Client, Postgres, execute};

/// The offset that a stream had when it was empty is one of its forks, and of their forks.
#[tokio::test]
async fn a_fork_is_read_from_any_offset_of_its_source_and_is_the_same_when_it_is_made_again() {
    let server = Server::start().await;
    let empty = server.create("source", &[TEXT], "").await;
    let fork = async |path: &str, source: &str, at: &str| {
        let source = format!("/v1/stream/{source}");
        let headers = [("stream-forked-from", &*source), ("stream-fork-offset", at)];
        let [first, again] = [
            server.ask(Method::PUT, &format!("stream/{path}"), &headers, "").await,
            server.ask(Method::PUT, &format!("stream/{path}"), &headers, "").await,
        ];
        assert_eq!(
            (first.status, again.status),
            (201.try_into().unwrap(), 200.try_into().unwrap())
        );
        assert_eq!(next_offset(&first.headers), at);
        let rest = server.get(&format!("stream/{path}?offset={at}"), &[]).await;
        assert_eq!((rest.status.as_u16(), &*rest.body), (200, &b""[..]), "{path} at {at}");
    };
    fork("of-empty", "source", &empty).await;
    let one = server.append("source", &[TEXT], "one").await;
    let two = server.append("source", &[TEXT], "two").await;
    for (number, at) in [&empty, &one, &two].into_iter().enumerate() {
        fork(&format!("fork-{number}"), "source", at).await;
        fork(&format!("fork-of-fork-{number}"), &format!("fork-{number}"), at).await;
    }
    let end = server.append("of-empty", &[TEXT], "other").await;
    fork("of-of-empty", "of-empty", &end).await;
    for (path, data) in [("fork-2", "onetwo"), ("of-empty", "other"), ("of-of-empty", "other")] {
        let all = server.get(&format!("stream/{path}?offset={empty}"), &[]).await;
        assert_eq!((all.status.as_u16(), &*all.body), (200, data.as_bytes()), "{path}");
    }
    let foreign = server.get(&format!("stream/of-empty?offset={one}"), &[]).await;
    assert_eq!(slug(&foreign), "offset-beyond");
}

/// The first record is that of a source of the source, or the source's.
#[tokio::test]
async fn a_fork_within_the_first_append_is_the_same_when_it_is_made_again() {
    let server = Server::start().await;
    server.create("empty", &[TEXT], "").await;
    server
        .create("inherits", &[("stream-forked-from", "/v1/stream/empty")], "")
        .await;
    server.append("inherits", &[TEXT], "data").await;
    server
        .create("inherits-data", &[("stream-forked-from", "/v1/stream/inherits")], "")
        .await;
    for source in ["inherits", "inherits-data"] {
        let from = format!("/v1/stream/{source}");
        let point = [
            ("stream-forked-from", &*from),
            ("stream-fork-offset", "-1"),
            ("stream-fork-sub-offset", "2"),
        ];
        let target = format!("stream/{source}-2");
        for status in [201, 200] {
            let made = server.ask(Method::PUT, &target, &point, "").await;
            assert_eq!(made.status, status, "{}", made.transcript());
        }
        assert_eq!(server.get(&target, &[]).await.body, "da");
        let other = [point[0], point[1], ("stream-fork-sub-offset", "3")];
        assert_eq!(
            slug(&server.ask(Method::PUT, &target, &other, "").await),
            "stream-exists"
        );
    }
}

#[tokio::test]
async fn an_expiry_is_any_time_of_rfc_3339_up_to_the_last_one() {
    let server = Server::start().await;
    for (number, (sent, answered)) in [
        ("2999-01-01t00:00:00z", "2999-01-01T00:00:00.000Z"),
        ("2999-01-01T00:00:00.5+01:00", "2998-12-31T23:00:00.500Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59.999Z"),
    ]
    .into_iter()
    .enumerate()
    {
        for status in [201, 200] {
            let target = format!("stream/{number}");
            let made = server
                .ask(Method::PUT, &target, &[TEXT, ("stream-expires-at", sent)], "")
                .await;
            assert_eq!(made.status, status, "{sent}: {}", made.transcript());
            assert_eq!(made.headers["stream-expires-at"], answered);
        }
    }
}

/// RFC 9110, section 8.6: without a length, or with that of GET.
#[tokio::test]
async fn head_says_of_no_stream_that_it_is_empty() {
    let server = Server::start().await;
    server.create("a", &[TEXT], "data").await;
    let url = format!("{}/v1/stream/a", server.process.url);
    for client in [Client::http1(), Client::h2c()] {
        let headers = [("authorization", &*server.token)];
        let head = client.exchange(Method::HEAD, &url, &headers, "".into()).await;
        assert_eq!((head.status.as_u16(), &*head.body), (200, &b""[..]));
        assert_eq!(head.headers.get("content-length"), None);
        assert_eq!(head.headers["content-type"], "text/plain");
    }
}

#[tokio::test]
async fn a_content_type_is_compared_without_the_space_around_it() {
    let server = Server::start().await;
    let spaced = ("content-type", "Text/Plain\t ; charset=utf-8");
    server.create("a", &[spaced], "").await;
    server.append("a", &[TEXT], "1").await;
    server.append("a", &[spaced], "2").await;
}

/// The most that `STREAM_MAX_APPEND` takes is what the log takes.
#[tokio::test]
async fn the_largest_append_is_read_and_one_byte_more_is_refused() {
    const LARGEST: usize = 16 << 20;
    let server = Server::with(&[("STREAM_MAX_APPEND", "16777216")]).await;
    server.create("a", &[JSON], "").await;
    let array = |length: usize| format!("[1,\"{}\"]", "x".repeat(length - 6));
    server.append("a", &[JSON], &array(LARGEST)).await;
    let refused = server.ask(Method::POST, "stream/a", &[JSON], &array(LARGEST + 1)).await;
    assert_eq!((refused.status.as_u16(), &*slug(&refused)), (413, "body-too-large"));
    let read = server.get("stream/a", &[]).await;
    assert_eq!((read.status.as_u16(), read.body.len()), (200, LARGEST));
}

/// SQL knows nothing of `STREAM_MAX_APPEND`.
#[tokio::test]
async fn the_largest_append_of_sql_is_read_and_so_is_what_follows() {
    let database = Postgres::shared().migrated_database().await;
    let server = Server::with(&[("DATABASE_URL", &database)]).await;
    server.create("a", &[TEXT], "").await;
    let append = "SELECT streams.append('a', repeat('x', 16777216)), streams.append('a', 'y')";
    execute(&database, append).await;
    let first = server.get("stream/a", &[]).await;
    assert_eq!((first.status.as_u16(), first.body.len()), (200, 16 << 20));
    let rest = format!("stream/a?offset={}", next_offset(&first.headers));
    assert_eq!(server.get(&rest, &[]).await.body, "y");
}

#[tokio::test]
async fn forks_of_forks_end_with_the_hundredth_and_a_repetition_will_not_help() {
    let server = Server::start().await;
    server.create("0", &[TEXT], "").await;
    for number in 1..=100 {
        let source = (number - 1).to_string();
        server.append(&source, &[TEXT], "x").await;
        let fork = [("stream-forked-from", &*format!("/v1/stream/{source}"))];
        server.create(&number.to_string(), &fork, "").await;
    }
    server.append("100", &[TEXT], "x").await;
    let fork = [("stream-forked-from", "/v1/stream/100")];
    let refused = server.ask(Method::PUT, "stream/101", &fork, "").await;
    assert_eq!((refused.status.as_u16(), &*slug(&refused)), (409, "fork-too-deep"));
    assert_eq!(refused.headers.get("retry-after"), None);
    assert_eq!(server.get("stream/100", &[]).await.body.len(), 101);
}
