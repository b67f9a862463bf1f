//! Single statements, each a transaction of its own.

use crate::accounts::{Accounts, database, within};
use axum::{body::Body, http::Method};
use futures_util::future::join_all;
use shared::{
    database::{Connection, Database, Reason},
    deadline::Deadline,
};
use std::time::{Duration, Instant};
use testing::{Binary, Client, Postgres, Proxy, execute, scalar};
use tokio::time::{sleep, timeout};

const ADD: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";
const TOTAL: &str = "SELECT sum(balance)::bigint FROM accounts";
const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'
    AND datname = current_database() AND pid <> pg_backend_pid()";

fn connection(database: &Database) -> Connection {
    database.connection(&within(Duration::from_secs(20)))
}

async fn add(connection: &Connection) -> sqlx::Result<u64> {
    let add = sqlx::query(ADD).bind(1_i64).bind(1).execute(connection).await;
    add.map(|done| done.rows_affected())
}

#[tokio::test]
async fn a_single_statement_is_stored_and_a_failed_one_leaves_the_session_as_it_was() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let connection = connection(&database);
    let session = async || -> i32 {
        let session = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&connection);
        session.await.unwrap()
    };
    let first = session().await;
    for broken in ["SELECT nothing", "SELECT 1 / $1", "INSERT INTO accounts VALUES (1, $1)"] {
        let failed = sqlx::query(broken).bind(0).execute(&connection).await;
        assert!(failed.unwrap_err().as_database_error().is_some(), "{broken}");
        assert_eq!(add(&connection).await.unwrap(), 1);
    }
    assert_eq!(session().await, first);
    let rows: Vec<i64> = sqlx::query_scalar("SELECT balance FROM accounts ORDER BY id")
        .fetch_all(&connection)
        .await
        .unwrap();
    assert_eq!(rows, [103, 100]);
    let none: Option<i64> = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = $1")
        .bind(3)
        .fetch_optional(&connection)
        .await
        .unwrap();
    assert_eq!(none, None);
    sqlx::raw_sql("UPDATE accounts SET balance = 1; UPDATE accounts SET balance = balance + 1")
        .execute(&connection)
        .await
        .unwrap();
    assert_eq!(scalar(&accounts.url, TOTAL).await, 4);
}

#[tokio::test]
async fn a_single_statement_ends_with_the_deadline_in_the_server_and_keeps_its_session() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let pid = "SELECT pg_backend_pid()";
    let before: i32 = sqlx::query_scalar(pid).fetch_one(&connection(&database)).await.unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let late = database.connection(&within(Duration::from_secs(2)));
        let slow = sqlx::query("SELECT pg_sleep($1)").bind(60.0).execute(&late).await;
        let error = slow.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "57014");
        assert!(
            (1800..2000).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
    }
    let (after, timeout): (i32, String) =
        sqlx::query_as("SELECT pg_backend_pid(), current_setting('statement_timeout')")
            .fetch_one(&mut *database.session(&Deadline::default()).await.unwrap())
            .await
            .unwrap();
    assert_eq!((after, &*timeout), (before, "30s"));
}

#[tokio::test]
async fn a_dropped_single_statement_is_cancelled() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let connection = connection(&accounts.database);
    let slow = sqlx::query("SELECT pg_sleep(60)").execute(&connection);
    assert!(timeout(Duration::from_millis(500), slow).await.is_err());
    for _ in 0..100 {
        if scalar(&accounts.url, ASLEEP).await == 0 {
            assert_eq!(add(&connection).await.unwrap(), 1);
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the statement goes on");
}

/// The control is the same statement in a transaction: `BEGIN`, the statement, `COMMIT`.
#[tokio::test]
async fn a_single_statement_is_one_round_trip_and_a_transaction_with_it_three() {
    const EACH_WAY: Duration = Duration::from_millis(100);
    let postgres = Postgres::start(&[]);
    let accounts = Accounts::new(&postgres).await;
    let proxy = Proxy::start(postgres.port()).await;
    let url = proxy.url(&accounts.url).await;
    let database = database(&url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let connection = connection(&database);
    let deadline = within(Duration::from_secs(20));
    let transaction = async || {
        let done = database.transaction(&deadline, async |transaction| {
            sqlx::query(ADD).bind(1_i64).bind(1).execute(transaction).await
        });
        done.await.unwrap();
    };
    add(&connection).await.unwrap();
    transaction().await;
    proxy.delay(EACH_WAY);
    let round_trips = |taken: Duration| taken.as_millis() / (2 * EACH_WAY).as_millis();
    let start = Instant::now();
    add(&connection).await.unwrap();
    let single = round_trips(start.elapsed());
    let start = Instant::now();
    transaction().await;
    assert_eq!((single, round_trips(start.elapsed())), (1, 3));
}

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

#[tokio::test]
async fn statements_of_many_tasks_at_once_share_the_pool() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let connection = connection(&accounts.database);
    let done = join_all((0..200).map(|_| add(&connection))).await;
    assert!(done.iter().all(|done| matches!(done, Ok(1))), "{done:?}");
    assert_eq!(scalar(&accounts.url, TOTAL).await, 400);
}

/// The sessions of the pool have answered a moment before, so that no ping is sent to the server.
#[tokio::test]
async fn the_first_statement_after_a_restart_of_the_server_succeeds() {
    let mut postgres = Postgres::start(&[]);
    let accounts = Accounts::new(&postgres).await;
    let connection = connection(&accounts.database);
    let done = join_all((0..5).map(|_| add(&connection))).await;
    assert!(done.iter().all(Result::is_ok));
    postgres.signal("KILL");
    sleep(Duration::from_millis(100)).await;
    let late = accounts.database.connection(&within(Duration::from_secs(1)));
    let reason = Reason::from(&add(&late).await.unwrap_err());
    assert!(matches!(reason, Reason::Unreachable | Reason::Timeout), "{reason}");
    postgres.restart();
    for _ in 0..5 {
        add(&connection).await.unwrap();
    }
}

/// The process trusts none of the sessions that it had before.
#[tokio::test]
async fn the_first_request_after_a_freeze_succeeds() {
    let postgres = Postgres::start(&[]);
    let direct = postgres.migrated_database().await;
    let proxy = Proxy::start(postgres.port()).await;
    let server = Binary::new(env!("CARGO_BIN_EXE_rows"))
        .with("DATABASE_URL", proxy.url(&direct).await)
        .serve();
    let post = async |path: &str| {
        let (url, json) = (server.url.clone() + path, [("content-type", "application/json")]);
        let body = Body::from(r#"{"release": "1.2.3"}"#);
        let answer = Client::http1().exchange(Method::POST, &url, &json, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    for path in ["/rows", "/transactions"] {
        post(path).await;
        proxy.forget_during_a_freeze(&server).await;
        post(path).await;
    }
    assert_eq!(
        scalar(&direct, "SELECT count(*) FROM migration_runs WHERE release = '1.2.3'").await,
        4
    );
}

#[tokio::test]
async fn a_deadline_that_has_passed_reaches_no_database() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let late = accounts
        .database
        .connection(&Deadline::default().earlier(tokio::time::Instant::now()));
    assert_eq!(Reason::from(&add(&late).await.unwrap_err()), Reason::Timeout);
    assert_eq!(scalar(&accounts.url, TOTAL).await, 200);
}
