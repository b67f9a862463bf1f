//! Streams from SQL.

use durable::{Log, create, within};
use shared::streams::{Expiry, From};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use testing::{Postgres, execute, scalar};

async fn log() -> Log {
    Log::at(&Postgres::shared().migrated_database().await, &[])
}

async fn text(log: &Log, path: &str) -> Vec<String> {
    let page = log.page(path, From::Start, 1 << 20).await;
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
    log.page("a", From::Start, 10).await;
    assert!(scalar(&log.url, left).await <= 95);
    for renew in ["page", "append", "head"] {
        execute(
            &log.url,
            "UPDATE streams.streams SET expires_at = now() + interval '50 s'",
        )
        .await;
        match renew {
            "page" => drop(log.page("a", From::Tail, 10).await),
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
    let page = tokio::time::timeout(Duration::from_secs(5), log.page("a", From::Start, 10)).await;
    assert_eq!(page.unwrap().records, []);
    transaction.commit().await.unwrap();
    assert_eq!(text(&log, "a").await, ["x"]);
}
