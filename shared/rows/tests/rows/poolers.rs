//! Transactions behind PgBouncer in transaction mode, with fewer sessions than clients, so that they change places.

use crate::accounts::{Accounts, within};
use futures_util::future::join_all;
use shared::deadline::Deadline;
use sqlx::Row;
use std::time::Duration;
use testing::{PgBouncer, Postgres, scalar};

const ADD: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";
const SETTINGS: &[&str] = &["pool_mode = transaction", "default_pool_size = 3"];

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn transactions_change_places_in_a_pooler_and_leave_no_setting_there() {
    let (_pooler, accounts) = behind_a_pooler().await;
    let deadline = within(Duration::from_secs(20));
    let transactions = (0..200).map(|_| {
        accounts.database.transaction(&deadline, async |transaction| {
            let add = sqlx::query(ADD).bind(1_i64).bind(1);
            add.execute(&mut *transaction).await?;
            sqlx::query_scalar("SELECT balance FROM accounts WHERE id = $1")
                .bind(2)
                .fetch_one(transaction)
                .await
        })
    });
    for done in join_all(transactions).await {
        let other: i64 = done.unwrap();
        assert_eq!(other, 100);
    }
    assert_eq!(
        scalar(&accounts.url, "SELECT balance FROM accounts WHERE id = 1").await,
        300
    );
    let timeouts = "SELECT sum(setting::bigint)::bigint FROM pg_settings
        WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout')";
    for _ in 0..10 {
        assert_eq!(scalar_through(&accounts, timeouts).await, "0");
    }
}

/// The control of the test above: statements with names.
#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn named_statements_are_lost_where_sessions_change_places() {
    let postgres = Postgres::shared();
    let accounts = Accounts::new(postgres).await;
    let pooler = PgBouncer::start(postgres, SETTINGS);
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(5)
        .connect_with(
            pooler
                .url(&accounts.url)
                .parse::<sqlx::postgres::PgConnectOptions>()
                .unwrap()
                .extra_float_digits(None),
        )
        .await
        .unwrap();
    let transactions = (0..200).map(|_| async {
        let mut transaction = pool.begin().await?;
        let add = sqlx::query(ADD).bind(1_i64).bind(1);
        add.execute(&mut *transaction).await?;
        transaction.commit().await
    });
    let failed = join_all(transactions).await.into_iter().filter(Result::is_err).count();
    assert!(failed > 0);
}

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn a_statement_ends_at_the_deadline_behind_a_pooler() {
    let (_pooler, accounts) = behind_a_pooler().await;
    let slow = accounts
        .database
        .transaction(&within(Duration::from_secs(5)), async |transaction| {
            sqlx::query("SELECT pg_sleep(60)").execute(transaction).await
        })
        .await;
    let error = slow.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "57014");
}

/// Without names, a pooler that knows none takes statements that were prepared, also outside of a transaction.
#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn single_statements_change_places_in_a_pooler_and_leave_no_setting_there() {
    let (_pooler, accounts) = behind_a_pooler().await;
    let connection = accounts.database.connection(&within(Duration::from_secs(20)));
    let add = || sqlx::query(ADD).bind(1_i64).bind(1).execute(&connection);
    let done = join_all((0..200).map(|_| add())).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(
        scalar(&accounts.url, "SELECT balance FROM accounts WHERE id = 1").await,
        300
    );
    let late = accounts.database.connection(&within(Duration::from_secs(5)));
    let slow = sqlx::query("SELECT pg_sleep($1)").bind(60.0).execute(&late).await;
    let error = slow.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "57014");
    for _ in 0..10 {
        assert_eq!(
            scalar_through(
                &accounts,
                "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
            )
            .await,
            "0"
        );
    }
}

async fn behind_a_pooler() -> (PgBouncer, Accounts) {
    let postgres = Postgres::shared();
    let accounts = Accounts::new(postgres).await;
    let pooler = PgBouncer::start(postgres, SETTINGS);
    let url = pooler.url(&accounts.url);
    (pooler, accounts.at(&url))
}

/// The simple protocol answers in text.
async fn scalar_through(accounts: &Accounts, sql: &'static str) -> String {
    let mut session = accounts.database.session(&Deadline::default()).await.unwrap();
    let row = sqlx::raw_sql(sql).fetch_one(&mut *session).await.unwrap();
    row.try_get_raw(0).unwrap().as_str().unwrap().to_owned()
}
