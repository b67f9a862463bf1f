//! Queries that fail, and what a function makes of them.

use crate::accounts::{Accounts, database, within};
use shared::{
    database::{Reason, violation},
    deadline::Deadline,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use testing::{Postgres, execute, scalar};
use tokio::time::{Instant, sleep};

const TOTAL: &str = "SELECT sum(balance)::bigint FROM accounts";

/// The errors of a function.
#[derive(Debug)]
enum Refused {
    Overdrawn,
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

#[tokio::test]
async fn the_violation_of_a_constraint_is_an_error_of_the_function_in_one_line() {
    let accounts = Accounts::new(Postgres::shared()).await;
    for (constraint, is_expected) in [("accounts_not_overdrawn", true), ("accounts_pkey", false)] {
        let done = accounts
            .database
            .transaction(&Deadline::default(), async |transaction| {
                let withdrawn = sqlx::query("UPDATE accounts SET balance = balance - 101 WHERE id = 1")
                    .execute(transaction)
                    .await
                    .map_err(violation(constraint, Refused::Overdrawn))?;
                Ok::<_, Refused>(withdrawn)
            })
            .await;
        match done.unwrap_err() {
            Refused::Overdrawn => assert!(is_expected),
            Refused::Failed(error) => assert!(!is_expected, "{error}"),
        }
    }
    assert_eq!(scalar(&accounts.url, TOTAL).await, 200);
}

#[tokio::test]
async fn an_error_of_the_function_rolls_back_and_is_not_repeated() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let attempts = AtomicUsize::new(0);
    let done = accounts
        .database
        .transaction(&Deadline::default(), async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            sqlx::query("DELETE FROM accounts").execute(transaction).await?;
            Err::<(), _>(Refused::Overdrawn)
        })
        .await;
    assert!(matches!(done, Err(Refused::Overdrawn)));
    assert_eq!((attempts.into_inner(), scalar(&accounts.url, TOTAL).await), (1, 200));
}

/// PostgreSQL answers COMMIT with ROLLBACK then, which sqlx takes for a success.
#[tokio::test]
async fn a_failed_query_that_the_function_ignores_is_not_a_success() {
    const WRITE: &str = "UPDATE accounts SET balance = 0";
    let accounts = Accounts::new(Postgres::shared()).await;
    let done = accounts
        .database
        .transaction(&Deadline::default(), async |transaction| {
            sqlx::query(WRITE).execute(&mut *transaction).await?;
            let _ignored = sqlx::query("SELECT 1 / 0").execute(&mut *transaction).await;
            Ok::<_, sqlx::Error>(())
        })
        .await;
    assert!(done.unwrap_err().to_string().contains("nothing of it is stored"));
    let mut plain = accounts.plain().await.begin().await.unwrap();
    sqlx::query(WRITE).execute(&mut *plain).await.unwrap();
    let _ignored = sqlx::query("SELECT 1 / 0").execute(&mut *plain).await;
    plain.commit().await.unwrap();
    assert_eq!(
        scalar(&accounts.url, TOTAL).await,
        200,
        "the control has stored nothing either"
    );
}

#[tokio::test]
async fn a_savepoint_takes_a_failed_query_back() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let done = accounts
        .database
        .transaction(&Deadline::default(), async |transaction| {
            sqlx::raw_sql("UPDATE accounts SET balance = 7; SAVEPOINT before")
                .execute(&mut *transaction)
                .await?;
            assert!(sqlx::query("SELECT 1 / 0").execute(&mut *transaction).await.is_err());
            sqlx::raw_sql("ROLLBACK TO before").execute(&mut *transaction).await?;
            Ok::<_, sqlx::Error>(())
        })
        .await;
    done.unwrap();
    assert_eq!(scalar(&accounts.url, TOTAL).await, 14);
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_commit_fails_the_transaction() {
    let accounts = Accounts::new(Postgres::shared()).await;
    execute(
        &accounts.url,
        "UPDATE accounts SET balance = id;
         ALTER TABLE accounts ADD CONSTRAINT unique_balance UNIQUE (balance) DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
    let done = accounts
        .database
        .transaction(&Deadline::default(), async |transaction| {
            let opened = sqlx::query("UPDATE accounts SET balance = 50 RETURNING id");
            opened.fetch_all(transaction).await
        })
        .await;
    let error = done.unwrap_err();
    assert!(matches!(
        violation("unique_balance", Refused::Overdrawn)(error),
        Refused::Overdrawn
    ));
    assert_eq!(scalar(&accounts.url, TOTAL).await, 3);
}

#[tokio::test]
async fn a_killed_backend_costs_a_repetition_before_the_commit() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let attempts = AtomicUsize::new(0);
    let done = accounts
        .database
        .transaction(&within(Duration::from_secs(10)), async |transaction| {
            sqlx::query("UPDATE accounts SET balance = balance + 1")
                .execute(&mut *transaction)
                .await?;
            if attempts.fetch_add(1, Ordering::Relaxed) == 0 {
                let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                    .fetch_one(&mut *transaction)
                    .await?;
                execute(&accounts.url, &format!("SELECT pg_terminate_backend({backend}, 5000)")).await;
            }
            sqlx::query("SELECT 1").execute(&mut *transaction).await.map(drop)
        })
        .await;
    done.unwrap();
    assert_eq!((attempts.into_inner(), scalar(&accounts.url, TOTAL).await), (2, 202));
}

/// Whether such a transaction is stored is unknown, so that nothing may run it again.
#[tokio::test]
async fn a_backend_that_is_killed_by_the_commit_is_an_error() {
    let accounts = Accounts::new(Postgres::shared()).await;
    execute(
        &accounts.url,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION die()",
    )
    .await;
    let attempts = AtomicUsize::new(0);
    let done = accounts
        .database
        .transaction(&within(Duration::from_secs(10)), async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            let write = sqlx::query("UPDATE accounts SET balance = balance + 1 WHERE id = 1");
            write.execute(transaction).await
        })
        .await;
    let reason = Reason::from(&done.unwrap_err());
    assert_eq!((attempts.into_inner(), reason), (1, Reason::Unreachable));
}

#[tokio::test]
async fn a_statement_ends_with_the_deadline_in_the_server_too() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let start = Instant::now();
    let done = accounts
        .database
        .transaction(&within(Duration::from_secs(6)), async |transaction| {
            sqlx::query("SELECT pg_sleep(60)").execute(transaction).await
        })
        .await;
    let error = done.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().unwrap(),
        "57014",
        "the server has answered"
    );
    assert!(
        (5500..6000).contains(&start.elapsed().as_millis()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_function_that_waits_within_a_transaction_is_cut_off_at_the_deadline() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let done = accounts
        .database
        .transaction(&within(Duration::from_millis(300)), async |_| {
            sleep(Duration::from_secs(60)).await;
            Ok::<_, sqlx::Error>(())
        })
        .await;
    assert_eq!(Reason::from(&done.unwrap_err()), Reason::Timeout);
}

#[tokio::test]
async fn what_keeps_a_transaction_from_starting_has_a_reason() {
    let cases = [
        ("", Reason::NotConfigured),
        ("mysql://root@db/app", Reason::Misconfigured),
        ("postgresql://a@127.0.0.1:1/a", Reason::Unreachable),
    ];
    for (url, expected) in cases {
        let done = database(url, &[])
            .transaction(&Deadline::default(), async |_| Ok::<_, sqlx::Error>(()))
            .await;
        assert_eq!(Reason::from(&done.unwrap_err()), expected, "{url}");
    }
}
