//! Deadlocks and serialization failures that really happen.

use crate::accounts::{Accounts, within};
use futures_util::future::join_all;
use sqlx::PgExecutor;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use testing::{Postgres, scalar};
use tokio::time::{Instant, sleep};

const TOTAL: &str = "SELECT sum(balance)::bigint FROM accounts";

/// Locks an account, and waits until both have been locked.
async fn add(executor: impl PgExecutor<'_>, id: i32, locked: &AtomicUsize) -> sqlx::Result<()> {
    let add = sqlx::query("UPDATE accounts SET balance = balance + 1 WHERE id = $1").bind(id);
    add.execute(executor).await?;
    locked.fetch_add(1, Ordering::Relaxed);
    while locked.load(Ordering::Relaxed) < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_deadlock_costs_a_repetition_and_no_request() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let (attempts, locked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let deadline = within(Duration::from_secs(10));
    let transfer = async |ids: [i32; 2]| {
        let work = accounts.database.transaction(&deadline, async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            for id in ids {
                add(&mut *transaction, id, &locked).await?;
            }
            Ok::<_, sqlx::Error>(())
        });
        work.await
    };
    let transfers = [transfer([1, 2]), transfer([2, 1])];
    for done in join_all(transfers).await {
        done.unwrap();
    }
    // On a slow machine, the one that was refused meets the other a second time.
    assert!(attempts.load(Ordering::Relaxed) >= 3, "there was no deadlock");
    assert_eq!(scalar(&accounts.url, TOTAL).await, 204);
}

/// The control of the test above.
#[tokio::test]
async fn a_plain_transaction_is_refused_by_the_same_deadlock() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let (pool, locked) = (&accounts.plain().await, &AtomicUsize::new(0));
    let transfers = [[1, 2], [2, 1]].map(|ids| async move {
        let mut transaction = pool.begin().await?;
        for id in ids {
            add(&mut *transaction, id, locked).await?;
        }
        transaction.commit().await
    });
    let refused = join_all(transfers).await.into_iter().filter_map(Result::err);
    let codes: Vec<String> = refused
        .map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
        .collect();
    assert_eq!(codes, ["40P01"]);
}

/// Each moves 1 from the larger account to the smaller one, by what it has read: without isolation, some would be lost.
#[tokio::test]
async fn forty_serializable_transactions_at_once_all_succeed() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let attempts = AtomicUsize::new(0);
    let deadline = within(Duration::from_secs(20));
    let increments = (0..40).map(|_| {
        accounts.database.transaction(&deadline, async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                .execute(&mut *transaction)
                .await?;
            let total: i64 = sqlx::query_scalar(TOTAL).fetch_one(&mut *transaction).await?;
            let write = sqlx::query("UPDATE accounts SET balance = $1 - 99 WHERE id = 1").bind(total);
            write.execute(&mut *transaction).await.map(drop)
        })
    });
    for done in join_all(increments).await {
        done.unwrap();
    }
    let attempts = attempts.into_inner();
    assert!(attempts > 40, "nothing has conflicted in {attempts} attempts");
    assert_eq!(scalar(&accounts.url, TOTAL).await, 240);
}

#[tokio::test]
async fn repetitions_end_with_the_deadline() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let start = Instant::now();
    let done: sqlx::Result<()> = accounts
        .database
        .transaction(&within(Duration::from_millis(500)), async |transaction| {
            let refuse = "DO $$ BEGIN RAISE EXCEPTION 'always' USING ERRCODE = '40001'; END $$";
            sqlx::raw_sql(refuse).execute(&mut *transaction).await.map(drop)
        })
        .await;
    assert!(matches!(done, Err(sqlx::Error::Io(_))), "{done:?}");
    assert!(
        (450..5000).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
}
