//! The oldest records go, at the price of those that go.

use durable::Log;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use testing::{Postgres, execute, scalar};

const STREAMS: i64 = 50;
const RECORDS: i64 = 200;
const RECORD: i64 = 4000;

/// Streams whose records fill a block for each two.
async fn streams() -> String {
    let url = Postgres::shared().migrated_database().await;
    let fill = format!(
        "SELECT streams.create('logs/' || n, 'text/plain') FROM generate_series(1, {STREAMS}) n;
        INSERT INTO streams.records SELECT s.id, n * {RECORD}, now(), convert_to(repeat('x', {RECORD}), 'UTF8')
            FROM streams.streams s, generate_series(1, {RECORDS}) n;
        UPDATE streams.streams SET tail = {RECORDS} * {RECORD};
        ANALYZE streams.streams; ANALYZE streams.records"
    );
    execute(&url, &fill).await;
    url
}

/// How many records a retention has deleted, and how many blocks of the table it took.
async fn retained(url: &str, keep: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let deleted = format!("SELECT deleted FROM streams.retain('logs/', {keep}, 0, 1000, 1000)");
    let deleted = sqlx::query_scalar(sqlx::AssertSqlSafe(deleted));
    let deleted = deleted.fetch_one(&mut *transaction).await.unwrap();
    let blocks = sqlx::query_scalar("SELECT pg_stat_get_xact_blocks_fetched('streams.records'::regclass)");
    let blocks = blocks.fetch_one(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    (deleted, blocks)
}

#[tokio::test]
async fn what_stays_is_not_read() {
    let url = streams().await;
    let (deleted, blocks) = retained(&url, "interval '1 day', NULL").await;
    assert_eq!(deleted, 0);
    assert!(blocks <= STREAMS, "{blocks}: the first record of each stream says it");
    let all = RECORDS * RECORD;
    assert_eq!(retained(&url, &format!("NULL, {all}")).await, (0, 0));
    let (deleted, blocks) = retained(&url, &format!("NULL, {}", all - 2 * RECORD)).await;
    assert_eq!(deleted, 2 * STREAMS);
    assert!(blocks <= 10 * STREAMS, "{blocks}: some for each record that goes");
}

#[tokio::test]
async fn nothing_goes_that_is_behind_a_record_which_stays() {
    let url = streams().await;
    // A server's clock was set back once.
    let ages = format!(
        "UPDATE streams.records SET appended_at = now() - CASE position / {RECORD}
            WHEN 1 THEN interval '3 h' WHEN 2 THEN interval '2 h' WHEN 4 THEN interval '2 h' ELSE interval '0' END"
    );
    execute(&url, &ages).await;
    assert_eq!(retained(&url, "interval '1 h', NULL").await.0, 2 * STREAMS);
    let first = "SELECT min(first_kept) + max(first_kept) FROM streams.streams";
    assert_eq!(scalar(&url, first).await, 2 * 2 * RECORD);
    assert_eq!(
        Log::at(&url, &[]).read_all("logs/1", 1 << 20).await.len() as i64,
        (RECORDS - 2) * RECORD
    );
}

/// The call ends before its statement may have to, so that the next one goes on.
#[tokio::test]
async fn many_streams_that_others_have_locked_cost_a_call_some_seconds() {
    let url = streams().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM streams.streams ORDER BY id LIMIT 10 FOR NO KEY UPDATE");
    lock.execute(&mut *transaction).await.unwrap();
    let start = Instant::now();
    let after = "SELECT after FROM streams.retain('logs/', NULL, 1000, 0, 1000, 1000)";
    let after = scalar(&url, after).await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!((2..10).contains(&after), "{after}");
    // Then come streams that nobody has locked.
    let deleted = "SELECT deleted FROM streams.retain('logs/', NULL, 1000, 10, 1000, 1000)";
    assert_eq!(scalar(&url, deleted).await, 1000);
}
