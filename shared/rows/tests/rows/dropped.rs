//! Transactions whose future is dropped, or whose process stands still.

use crate::accounts::{Accounts, database, within};
use futures_util::FutureExt;
use shared::deadline::Deadline;
use sqlx::postgres::PgPoolOptions;
use std::{
    future::pending,
    time::{Duration, Instant},
};
use testing::{Postgres, Proxy, execute, scalar};
use tokio::time::{sleep, timeout};

const TOTAL: &str = "SELECT sum(balance)::bigint FROM accounts";
const IN_TRANSACTION: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";

/// Waits until no session is in a transaction, which takes this long.
async fn until_idle(url: &str) -> Duration {
    let start = Instant::now();
    while scalar(url, IN_TRANSACTION).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "a transaction stays");
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_at_any_point() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let deadline = Deadline::default();
    for query in ["SELECT 1", "SELECT pg_sleep(60)"] {
        let done = accounts.database.transaction(&deadline, async |transaction| {
            sqlx::query("DELETE FROM accounts").execute(&mut *transaction).await?;
            sqlx::query(query).execute(&mut *transaction).await?;
            pending::<sqlx::Result<()>>().await
        });
        assert!(timeout(Duration::from_millis(300), done).await.is_err());
        let taken = until_idle(&accounts.url).await;
        assert!(taken < Duration::from_secs(1), "{taken:?}");
    }
    assert_eq!(scalar(&accounts.url, TOTAL).await, 200);
}

/// Polled once more each time, so that each of the waiting points is one where it is dropped.
#[tokio::test]
async fn whatever_is_dropped_the_next_transaction_is_not_within_it() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let deadline = Deadline::default();
    for polls in 0..40 {
        let mut dropped = Box::pin(database.transaction(&deadline, async |transaction| {
            sqlx::query("UPDATE accounts SET balance = 0")
                .execute(transaction)
                .await?;
            Err::<(), _>(sqlx::Error::RowNotFound)
        }));
        for _ in 0..polls {
            if dropped.as_mut().now_or_never().is_some() {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        drop(dropped);
        let next = database
            .transaction(&within(Duration::from_secs(5)), async |transaction| {
                let read = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = 1");
                read.fetch_one(transaction).await
            })
            .await;
        let balance: i64 = next.unwrap();
        assert_eq!(balance, 100, "after {polls} polls");
    }
    assert_eq!(scalar(&accounts.url, TOTAL).await, 200);
}

/// The control of the test above: sqlx puts a session back whose `BEGIN` was dropped halfway, and does not know of it.
#[tokio::test]
async fn a_plain_transaction_that_is_dropped_while_it_begins_stays_open_in_the_pool() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect(&proxy.url(&accounts.url).await).await.unwrap();
    proxy.delay(Duration::from_millis(100));
    assert!(timeout(Duration::from_millis(50), pool.begin()).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scalar(&accounts.url, IN_TRANSACTION).await, 1);
}

/// The thread is blocked while the server waits for it, as in a frozen environment of Lambda.
#[test]
fn a_process_that_is_frozen_within_a_transaction_holds_its_locks_until_the_deadline_only() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (tests, function) = (runtime(), runtime());
    let accounts = tests.block_on(Accounts::new(Postgres::shared()));
    let frozen = database(&accounts.url, &[]);
    function.spawn(async move {
        let deadline = within(Duration::from_secs(1));
        let done = frozen.transaction(&deadline, async |transaction| {
            sqlx::query("UPDATE accounts SET balance = 0")
                .execute(transaction)
                .await?;
            std::thread::sleep(Duration::from_secs(4));
            Ok::<_, sqlx::Error>(())
        });
        let _ = done.await;
    });
    std::thread::sleep(Duration::from_millis(500));
    tests.block_on(async {
        assert_eq!(scalar(&accounts.url, IN_TRANSACTION).await, 1);
        let taken = until_idle(&accounts.url).await;
        assert!(taken < Duration::from_secs(2), "{taken:?}");
        execute(&accounts.url, "UPDATE accounts SET balance = balance + 1").await;
        assert_eq!(scalar(&accounts.url, TOTAL).await, 202);
    });
    function.shutdown_background();
}

/// The control of the test above: a plain transaction stays as long as its process is frozen.
#[tokio::test]
async fn a_plain_transaction_holds_its_locks_for_as_long_as_its_process_stands_still() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let mut plain = accounts.plain().await.begin().await.unwrap();
    sqlx::query("UPDATE accounts SET balance = 0")
        .execute(&mut *plain)
        .await
        .unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scalar(&accounts.url, IN_TRANSACTION).await, 1);
}
