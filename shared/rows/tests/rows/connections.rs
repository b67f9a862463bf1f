//! Single statements, each a transaction of its own.

use crate::accounts::{ADD, Accounts, TOTAL, add, connection, database, within};
use axum::{body::Body, http::Method};
use futures_util::future::join_all;
use shared::{database::Reason, deadline::Deadline};
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};
use testing::{Binary, Client, Postgres, Proxy, scalar};
use tokio::time::{sleep, timeout};

const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'
    AND datname = current_database() AND pid <> pg_backend_pid()";

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
        let late = database.connection(&within(Duration::from_secs(6)));
        let slow = sqlx::query("SELECT pg_sleep($1)").bind(60.0).execute(&late).await;
        let error = slow.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "57014");
        assert!(
            (5500..6000).contains(&start.elapsed().as_millis()),
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

/// The control is a plain transaction: `BEGIN`, the statement, `COMMIT`.
#[tokio::test]
async fn a_single_statement_is_one_round_trip_and_a_transaction_with_it_two() {
    const EACH_WAY: Duration = Duration::from_millis(250);
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
    let plain = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let plain = plain.connect(&url).await.unwrap();
    let plain_transaction = async || {
        let mut transaction = plain.begin().await.unwrap();
        let add = sqlx::query(ADD).bind(1_i64).bind(1).execute(&mut *transaction);
        add.await.unwrap();
        transaction.commit().await.unwrap();
    };
    add(&connection).await.unwrap();
    transaction().await;
    plain_transaction().await;
    proxy.delay(EACH_WAY);
    let round_trips = |taken: Duration| taken.as_millis() / (2 * EACH_WAY).as_millis();
    let start = Instant::now();
    add(&connection).await.unwrap();
    let single = round_trips(start.elapsed());
    let start = Instant::now();
    transaction().await;
    let bundled = round_trips(start.elapsed());
    let start = Instant::now();
    plain_transaction().await;
    assert_eq!((single, bundled, round_trips(start.elapsed())), (1, 2, 3));
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
        assert_eq!(answer.status, 201, "{}", answer.transcript());
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
