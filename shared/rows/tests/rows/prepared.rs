//! Statements that sqlx has prepared, and that the server knows by their names.

use crate::accounts::{ADD, Accounts, TOTAL, add, connection, database, within};
use shared::deadline::Deadline;
use sqlx::Row;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use testing::{Postgres, execute, scalar};

/// The control is a plain session, whose prepared statement is of no use any more.
#[tokio::test]
async fn a_statement_that_was_prepared_sees_columns_that_have_changed_since() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let (connection, plain) = (connection(&accounts.database), accounts.plain().await);
    let read = || sqlx::query_as::<_, (i32, i64)>("SELECT * FROM accounts WHERE id = 1");
    for _ in 0..2 {
        assert_eq!(read().fetch_one(&connection).await.unwrap(), (1, 100));
    }
    read().fetch_one(&plain).await.unwrap();
    execute(
        &accounts.url,
        "ALTER TABLE accounts DROP CONSTRAINT accounts_not_overdrawn, ALTER balance TYPE text",
    )
    .await;
    let read = || sqlx::query_as::<_, (i32, String)>("SELECT * FROM accounts WHERE id = 1");
    assert_eq!(read().fetch_one(&connection).await.unwrap(), (1, "100".to_owned()));
    assert!(read().fetch_one(&plain).await.is_err());
}

/// Within a transaction the server accepts nothing after such a refusal, so the transaction itself is repeated.
#[tokio::test]
async fn a_transaction_is_repeated_where_columns_have_changed_or_its_statements_are_gone() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let deadline = within(Duration::from_secs(20));
    let attempts = AtomicUsize::new(0);
    let read = async |first: &'static str| {
        let done = database.transaction(&deadline, async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            sqlx::raw_sql(first).execute(&mut *transaction).await?;
            let row = sqlx::query("SELECT * FROM accounts WHERE id = $1").bind(1);
            row.fetch_one(transaction).await.map(|row| row.len())
        });
        (done.await.unwrap(), attempts.swap(0, Ordering::Relaxed))
    };
    assert_eq!(read("SELECT 1").await, (2, 1));
    assert_eq!(read("SELECT 1").await, (2, 1));
    execute(&accounts.url, "ALTER TABLE accounts ADD since date").await;
    assert_eq!(read("SELECT 1").await, (3, 2));
    execute(&accounts.url, "ALTER TABLE accounts DROP since").await;
    assert_eq!(read("SELECT 1").await, (2, 1), "statements have no names any more");
}

/// The control is the session itself, for which sqlx keeps a name that the server has forgotten.
#[tokio::test]
async fn a_single_statement_that_the_server_has_forgotten_is_sent_again() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let connection = connection(&database);
    let named = async || -> i64 {
        let mut session = database.session(&Deadline::default()).await.unwrap();
        let names = sqlx::raw_sql("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '%sqlx%'");
        let row = names.fetch_one(&mut *session).await.unwrap();
        row.try_get_raw(0).unwrap().as_str().unwrap().parse().unwrap()
    };
    assert_eq!(add(&connection).await.unwrap(), 1);
    assert_eq!(named().await, 1, "the server knows the statement by its name");
    let mut session = database.session(&Deadline::default()).await.unwrap();
    sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *session).await.unwrap();
    drop(session);
    for _ in 0..2 {
        assert_eq!(add(&connection).await.unwrap(), 1);
    }
    assert_eq!(named().await, 0);
    assert_eq!(scalar(&accounts.url, TOTAL).await, 203);
    let mut plain = accounts.plain().await.acquire().await.unwrap();
    let add = || sqlx::query(ADD).bind(1_i64).bind(1);
    add().execute(&mut *plain).await.unwrap();
    sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *plain).await.unwrap();
    assert!(add().execute(&mut *plain).await.is_err());
}

#[derive(Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
}

#[tokio::test]
async fn types_of_the_schema_and_megabytes_go_through_any_number_of_times() {
    let accounts = Accounts::new(Postgres::shared()).await;
    execute(&accounts.url, "CREATE TYPE mood AS ENUM ('happy', 'sad')").await;
    let connection = connection(&accounts.database);
    let large = "x".repeat(3 << 20);
    for _ in 0..3 {
        let (mood, text): (Mood, String) = sqlx::query_as("SELECT $1::mood, $2::text")
            .bind(Mood::Happy)
            .bind(&large)
            .fetch_one(&connection)
            .await
            .unwrap();
        assert!(mood == Mood::Happy && text == large);
    }
    let statement = format!("SELECT length('{large}')");
    for _ in 0..2 {
        let length = sqlx::query_scalar(sqlx::AssertSqlSafe(statement.clone()));
        let length: i32 = length.fetch_one(&connection).await.unwrap();
        assert_eq!(length as usize, large.len());
    }
}
