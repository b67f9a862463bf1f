//! Streams from SQL.

use durable::{Log, create, within};
use shared::streams::{Expiry, ReadFrom};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use testing::{Postgres, execute, scalar};

async fn log() -> Log {
    Log::at(&Postgres::shared().migrated_database().await, &[])
}

async fn text(log: &Log, path: &str) -> Vec<String> {
    let page = log.page(path, ReadFrom::Start, 1 << 20).await;
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    page.records.iter().map(|record| text(&record.data)).collect()
}

/// The constraint that a statement violates.
async fn violated(log: &Log, sql: &str) -> String {
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await;
    let error = done.unwrap_err();
    let error = error.as_database_error().unwrap();
    error.constraint().unwrap_or(error.message()).to_owned()
}

#[tokio::test]
async fn json_is_stored_as_it_is_sent_and_an_array_is_as_many_values() {
    let log = log().await;
    execute(&log.url, "SELECT streams.create('j')").await;
    for value in [
        r#"'{"b": 1.0, "a" : [2]}'"#,
        r#"'[1, "two", [3], {"four": null}]'::json"#,
        r#"'{"b":1,"a":2}'::jsonb"#,
        r#"json_build_object('at', 5)"#,
        r#"E' "x" \n'"#,
    ] {
        execute(&log.url, &format!("SELECT streams.append('j', {value})")).await;
    }
    let stored = [
        r#"{"b": 1.0, "a" : [2]}"#,
        r#"1,"two",[3],{"four": null}"#,
        r#"{"a": 2, "b": 1}"#,
        r#"{"at" : 5}"#,
        r#""x""#,
    ];
    assert_eq!(text(&log, "j").await, stored);
}

#[tokio::test]
async fn what_a_stream_refuses_is_the_violation_of_a_constraint() {
    let log = log().await;
    assert_eq!(
        violated(&log, "SELECT streams.append('j', '{}')").await,
        "stream_not_found"
    );
    execute(&log.url, "SELECT streams.create('j'), streams.create('j')").await;
    assert_eq!(
        violated(&log, "SELECT streams.create('j', 'text/plain')").await,
        "stream_differs"
    );
    assert_eq!(violated(&log, "SELECT streams.append('j', '[]')").await, "stream_empty");
    // An array of elements that are not, too.
    for large in [
        "to_json(repeat('x', 17000000))",
        "json_build_array(repeat('x', 9000000), repeat('y', 9000000))",
    ] {
        let violated = violated(&log, &format!("SELECT streams.append('j', {large})")).await;
        assert_eq!(violated, "stream_too_large");
    }
    assert!(violated(&log, "SELECT streams.append('j', '{')").await.contains("json"));
    execute(
        &log.url,
        "SELECT streams.append('j', '{}', close => true), streams.close('j')",
    )
    .await;
    assert_eq!(
        violated(&log, "SELECT streams.append('j', '{}')").await,
        "stream_closed"
    );
    assert_eq!(text(&log, "j").await, ["{}"]);
}

/// A page of JSON is a join of records: what is not JSON would break it for all readers.
#[tokio::test]
async fn nothing_but_json_comes_into_a_stream_of_json() {
    let log = log().await;
    execute(
        &log.url,
        "SELECT streams.create('j'), streams.create('t', 'text/plain')",
    )
    .await;
    for data in [
        "'not json'",
        "'no'::bytea",
        "'1][2'::bytea",
        r"'\xff'::bytea",
        "'1,2'::bytea",
    ] {
        let violated = violated(&log, &format!("SELECT streams.append('j', {data})")).await;
        assert!(violated.contains("json") || violated.contains("UTF8"), "{violated}");
    }
    for empty in [
        "'[]'::bytea",
        "''",
        "NULL",
        "NULL::json",
        "NULL::bytea",
        "NULL::bytea, close => NULL",
    ] {
        let violated = violated(&log, &format!("SELECT streams.append('j', {empty})")).await;
        assert_eq!(violated, "stream_empty", "{empty}");
    }
    for json in ["'[1]'::json", "'[1]'::jsonb"] {
        let violated = violated(&log, &format!("SELECT streams.append('t', {json})")).await;
        assert_eq!(violated, "stream_content_type");
    }
    for append in [
        r#"'j', '[1, {"a": 2}]'::bytea, close => NULL, ring => NULL"#,
        "'t', '[1'::bytea",
        "'t', ',2]'",
    ] {
        execute(&log.url, &format!("SELECT streams.append({append})")).await;
    }
    assert_eq!(text(&log, "j").await, [r#"1,{"a": 2}"#]);
    assert_eq!(text(&log, "t").await, ["[1", ",2]"]);
}

/// A stream that no URL names could be neither read nor deleted, and its type is a header of each answer.
#[tokio::test]
async fn sql_creates_what_http_can_answer() {
    let log = log().await;
    for (values, constraint) in [
        ("NULL", "stream_path"),
        ("''", "stream_path"),
        ("'/a'", "stream_path"),
        ("'a//b'", "stream_path"),
        ("'a/'", "stream_path"),
        ("'..'", "stream_path"),
        ("'a/./b'", "stream_path"),
        (r"E'a\nb'", "stream_path"),
        (r"E'a\u0085b'", "stream_path"),
        ("'__ds/a'", "stream_path"),
        ("repeat('x', 1025)", "stream_path"),
        ("repeat('é', 513)", "stream_path"),
        ("'a', ''", "stream_content_type"),
        ("'a', 'text'", "stream_content_type"),
        (r"'a', E'text/plain\r\nx: y'", "stream_content_type"),
        ("'a', 'text/plain; ' || repeat('x', 256)", "stream_content_type"),
        ("'a', ttl => '-1 s'", "stream_ttl"),
        ("'a', ttl => '200 years'", "stream_ttl"),
    ] {
        let violated = violated(&log, &format!("SELECT streams.create({values})")).await;
        assert_eq!(violated, constraint, "{values}");
    }
    for values in [
        "'a b/..c/__ds'",
        "repeat('x', 1024)",
        r#"'käse', 'Text/Plain; charset="utf-8"'"#,
        "'d', NULL, '1 s'",
    ] {
        execute(&log.url, &format!("SELECT streams.create({values})")).await;
    }
}

#[tokio::test]
async fn a_time_to_live_is_renewed_by_reads_and_writes_and_not_by_looks() {
    let log = log().await;
    let ttl = shared::streams::Create {
        expiry: Some(Expiry::Ttl(100)),
        ..create("a")
    };
    let left = "SELECT extract(epoch FROM expires_at - now())::bigint FROM streams.streams WHERE path = 'a'";
    log.streams.create(&within(10), ttl).await.unwrap();
    // Less than a tenth has passed: nothing is written.
    execute(
        &log.url,
        "UPDATE streams.streams SET expires_at = now() + interval '95 s'",
    )
    .await;
    log.page("a", ReadFrom::Start, 10).await;
    assert!(scalar(&log.url, left).await <= 95);
    for renew in ["page", "append", "head"] {
        execute(
            &log.url,
            "UPDATE streams.streams SET expires_at = now() + interval '50 s'",
        )
        .await;
        match renew {
            "page" => drop(log.page("a", ReadFrom::Tail, 10).await),
            "append" => execute(&log.url, "SELECT streams.append('a', 'x')").await,
            _ => drop(log.streams.head(&within(10), "a").await.unwrap()),
        }
        assert_eq!(scalar(&log.url, left).await > 90, renew != "head", "{renew}");
    }
    execute(&log.url, "UPDATE streams.streams SET expires_at = now()").await;
    assert!(log.streams.head(&within(10), "a").await.is_err());
}

/// A reader of a stream with a time to live does not wait for whoever has locked it.
#[tokio::test]
async fn a_read_does_not_wait_for_a_transaction_that_appends() {
    let log = log().await;
    execute(&log.url, "SELECT streams.create('a', 'text/plain', '100 s')").await;
    execute(
        &log.url,
        "UPDATE streams.streams SET expires_at = now() + interval '50 s'",
    )
    .await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("SELECT streams.append('a', 'x')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let page = tokio::time::timeout(Duration::from_secs(5), log.page("a", ReadFrom::Start, 10)).await;
    assert_eq!(page.unwrap().records, []);
    transaction.commit().await.unwrap();
    assert_eq!(text(&log, "a").await, ["x"]);
}

/// Most streams never expire: none of these is looked at.
#[tokio::test]
async fn the_sweep_finds_what_has_expired_by_its_index() {
    let log = log().await;
    for sql in [
        "SELECT streams.create('s/' || n) FROM generate_series(1, 2000) n",
        "SELECT streams.create('old', ttl => '0 s')",
        "ANALYZE streams.streams",
    ] {
        execute(&log.url, sql).await;
    }
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let scans = "SELECT pg_stat_get_xact_numscans('streams.streams_expires_at'::regclass)";
    for (sql, expected) in [("SELECT streams.sweep(100)", 2), (scans, 1)] {
        let number: i64 = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(number, expected, "{sql}");
    }
}
