//! Transactions that append often.

use durable::Log;
use sqlx::{Connection, PgConnection};
use testing::{Postgres, execute};

/// An append finds the row of its stream where the one before has left it. By an index, it would pass by each version of the row that
/// the transaction has made: ten thousand appends would take as long as a hundred thousand.
#[tokio::test]
async fn many_appends_in_one_transaction_search_for_their_stream_once() {
    let log = Log::at(&Postgres::shared().migrated_database().await, &[]);
    execute(
        &log.url,
        "SELECT streams.create('a', 'text/plain'), streams.create('b', 'text/plain')",
    )
    .await;
    let mut connection = PgConnection::connect(&log.url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let appends = "DO $$ BEGIN FOR n IN 1 .. 500 LOOP PERFORM streams.append('a', 'x'); END LOOP; END $$";
    sqlx::raw_sql(appends).execute(&mut *transaction).await.unwrap();
    let searches = "SELECT sum(pg_stat_get_xact_numscans(indexrelid))::bigint FROM pg_index WHERE indrelid = 'streams.streams'::regclass";
    let searches: i64 = sqlx::query_scalar(searches).fetch_one(&mut *transaction).await.unwrap();
    assert!(searches < 10, "{searches}");
    // Elsewhere meanwhile, and after a part that was taken back.
    let others = "SELECT streams.append('b', 'y'), streams.append('a', 'x'); SAVEPOINT part; SELECT streams.append('a', 'never');
        ROLLBACK TO part; SELECT streams.append('a', 'z'), streams.append('b', 'y')";
    sqlx::raw_sql(others).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(log.read_all("a", 1000).await, ("x".repeat(501) + "z").as_bytes());
    assert_eq!(log.read_all("b", 1000).await, b"yy");
}
