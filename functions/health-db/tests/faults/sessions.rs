//! A check leaves no session in the server, whatever it waited for and however it ended. The servers here run with their
//! defaults, so they do not notice a client that has gone.

use crate::impatient::{TIMEOUT, becomes, database, health_db, holder, reason, session};
use shared::{
    config::Env,
    database::{Database, Reason},
    deadline::Deadline,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use std::time::{Duration, Instant};
use testing::{Client, Postgres, Process, execute, scalar};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{sleep, timeout},
};

/// Probes time out, again and again, and half a second after each no more than `most` sessions are left.
async fn leaves(postgres: &Postgres, server: &Process, others: usize, most: usize) {
    for _ in 0..15 {
        assert_eq!(reason(server).await, "timeout", "{}", server.log());
        sleep(TIMEOUT).await;
        let left = postgres.clients() - others;
        assert!(left <= most, "{left} sessions");
    }
}

#[tokio::test]
async fn a_table_that_is_locked_leaves_no_session_behind_and_none_after_a_signal() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let holder = holder(&url, "BEGIN; LOCK TABLE _sqlx_migrations").await;
    let mut server = health_db(&url);
    leaves(&postgres, &server, 1, 0).await;
    for signal in ["TERM", "KILL"] {
        let probe = tokio::spawn({
            let url = format!("{}/health/db", server.url);
            async move { Client::http1().get(&url).await }
        });
        let start = Instant::now();
        while postgres.clients() != 2 {
            assert!(start.elapsed() < 5 * TIMEOUT, "the check does not wait");
            sleep(Duration::from_millis(5)).await;
        }
        server.signal(signal);
        sleep(TIMEOUT).await;
        assert_eq!(postgres.clients(), 1, "after SIG{signal}");
        probe.abort();
        server = health_db(&url);
    }
    drop(holder);
    becomes(&server, "healthy").await;
}

/// The control of the tests above: a server does not notice that its client has gone.
#[tokio::test]
async fn a_plain_session_that_is_dropped_stays_in_the_server() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let _holder = holder(&url, "BEGIN; LOCK TABLE _sqlx_migrations").await;
    let check = holder_of_nothing(&url);
    assert!(timeout(TIMEOUT, check).await.is_err());
    sleep(TIMEOUT).await;
    assert_eq!(postgres.clients(), 2);
}

async fn holder_of_nothing(url: &str) {
    holder(url, "SELECT version FROM _sqlx_migrations").await;
}

#[tokio::test]
async fn a_query_that_takes_its_time_leaves_no_session_behind() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    execute(
        &url,
        "ALTER TABLE _sqlx_migrations RENAME TO renamed;
         CREATE VIEW _sqlx_migrations AS SELECT renamed.* FROM renamed, pg_sleep(120)",
    )
    .await;
    leaves(&postgres, &health_db(&url), 0, 0).await;
}

#[tokio::test]
async fn a_role_whose_statements_may_take_an_hour_is_bounded_all_the_same() {
    let postgres = Postgres::start(&["statement_timeout=1h", "lock_timeout=1h"]);
    let url = postgres.migrated_database().await;
    let _holder = holder(&url, "BEGIN; LOCK TABLE _sqlx_migrations").await;
    leaves(&postgres, &health_db(&url), 1, 0).await;
}

/// A login cannot be cancelled: the server sends the key for that when the login is over.
#[tokio::test]
async fn a_login_that_hangs_is_the_only_one() {
    for locked in ["pg_authid", "pg_database", "pg_class"] {
        let postgres = Postgres::start(&[]);
        let url = postgres.migrated_database().await;
        let lock = AssertSqlSafe(format!("BEGIN; LOCK TABLE {locked}"));
        let mut holder = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        let server = health_db(&url);
        leaves(&postgres, &server, 1, 1).await;
        assert_eq!(postgres.clients(), 2, "{locked} does not hold up a login");
        drop(holder);
        becomes(&server, "healthy").await;
    }
}

#[tokio::test]
async fn a_server_that_is_stopped_finds_one_session_when_it_continues() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let server = health_db(&url);
    postgres.signal("STOP");
    for _ in 0..15 {
        assert_eq!(reason(&server).await, "timeout");
    }
    postgres.signal("CONT");
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        assert!(postgres.clients() <= 1);
        sleep(Duration::from_millis(1)).await;
    }
    becomes(&server, "healthy").await;
}

#[tokio::test]
async fn an_unused_session_is_closed_after_ten_seconds() {
    let postgres = Postgres::start(&[]);
    let server = health_db(&postgres.migrated_database().await);
    becomes(&server, "healthy").await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(postgres.clients(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(postgres.clients(), 0);
    becomes(&server, "healthy").await;
}

/// Lambda freezes the process after its answer, so nothing can be closed later.
#[tokio::test]
async fn on_lambda_no_session_outlives_its_check() {
    let postgres = Postgres::start(&[]);
    let plain_url = postgres.migrated_database().await;
    let url = plain_url.clone();
    let env = Env::new(move |key| match key {
        "DATABASE_URL" => Some(url.clone()),
        "AWS_LAMBDA_RUNTIME_API" => Some("127.0.0.1:1".to_owned()),
        _ => None,
    });
    let database = Database::from_env(&env);
    for _ in 0..5 {
        assert_eq!(database.schema(4 * TIMEOUT).await.unwrap().fault, None);
        // Blocks the runtime, as a freeze would: every message to the server must have been sent before.
        std::thread::sleep(TIMEOUT / 2);
        assert_eq!(postgres.clients(), 0);
    }
    execute(
        &plain_url,
        "CREATE SCHEMA other; CREATE TABLE other._sqlx_migrations ()",
    )
    .await;
    let error = database.schema(4 * TIMEOUT).await.unwrap_err();
    std::thread::sleep(TIMEOUT / 2);
    assert_eq!((error, postgres.clients()), (Reason::Misconfigured, 0));
}

const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'";

#[tokio::test]
async fn a_query_of_a_function_ends_with_its_future() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let database = database(&url);
    let plain = PgPool::connect(&url).await.unwrap();
    let function = async |sql| session(&database).await.execute(sql).await.map(drop);
    let control = async |sql| plain.execute(sql).await.map(drop);
    assert!(timeout(TIMEOUT, function("SELECT pg_sleep(60)")).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scalar(&url, ASLEEP).await, 0);
    function("SELECT 1").await.unwrap();
    assert!(timeout(TIMEOUT, control("SELECT pg_sleep(60)")).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scalar(&url, ASLEEP).await, 1);
    control("SELECT 1").await.unwrap();
}

/// The bound ends a statement in the server even if the process was killed. A pooler rejects the setting, so none is sent.
#[tokio::test]
async fn sessions_of_functions_bound_each_statement_unless_they_say_otherwise() {
    let url = Postgres::shared().migrated_database().await;
    for (parameter, expected) in [("", "30s"), ("&options=-cstatement_timeout%3D1h", "1h")] {
        let database = database(&format!("{url}{parameter}"));
        let shown: String = sqlx::query_scalar("SHOW statement_timeout")
            .fetch_one(&mut *session(&database).await)
            .await
            .unwrap();
        assert_eq!(shown, expected);
    }
}

/// The limit is on the bytes of one answer, not on all answers of a session.
#[tokio::test]
async fn a_session_of_a_function_answers_any_number_of_queries() {
    let url = format!(
        "{}&statement-cache-capacity=0",
        Postgres::shared().migrated_database().await
    );
    let env = Env::new(move |key| match key {
        "DATABASE_URL" => Some(url.clone()),
        "DATABASE_MAX_CONNECTIONS" => Some("1".to_owned()),
        _ => None,
    });
    let database = Database::from_env(&env);
    let process = async || -> i32 {
        let process = sqlx::query_scalar("SELECT pg_backend_pid()");
        process.fetch_one(&mut *session(&database).await).await.unwrap()
    };
    let first = process().await;
    let large = async |mebibytes: i32| {
        let rows = sqlx::query_scalar("SELECT repeat('x', 1 << 20) FROM generate_series(1, $1)").bind(mebibytes);
        let rows = rows.fetch_all(&mut *session(&database).await).await;
        rows.map(|rows: Vec<String>| rows.len())
    };
    for _ in 0..5 {
        assert_eq!(large(8).await.unwrap(), 8);
    }
    assert_eq!(process().await, first);
    assert!(large(33).await.unwrap_err().to_string().contains("in one answer"));
}

/// An abstract name has no permissions.
#[tokio::test]
async fn the_socket_of_the_proxy_is_of_no_use_to_another_process() {
    let server = health_db(&Postgres::shared().migrated_database().await);
    becomes(&server, "healthy").await;
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let prefix = format!("@pilotlight-{}-", server.pid());
    let name = sockets
        .split_whitespace()
        .find(|word| word.starts_with(&prefix))
        .unwrap();
    let mut stream = UnixStream::connect(name.replacen('@', "\0", 1)).await.unwrap();
    let _ = stream.write_all(&[0, 0, 0, 9, 0, 3, 0, 0, 0]).await;
    let answer = timeout(TIMEOUT, stream.read(&mut [0])).await;
    assert!(matches!(answer.expect("it is closed"), Ok(0) | Err(_)));
    becomes(&server, "healthy").await;
}

#[tokio::test]
async fn functions_that_cannot_log_in_do_not_exceed_the_size_of_their_pool() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let _holder = holder(&url, "BEGIN; LOCK TABLE pg_authid").await;
    let (database, within) = (database(&url), Deadline::default());
    for _ in 0..4 {
        let queries = (0..10).map(|_| timeout(TIMEOUT, database.session(&within)));
        let answers = futures_util::future::join_all(queries).await;
        assert!(answers.iter().all(Result::is_err));
    }
    assert_eq!(postgres.clients() - 1, 5);
}
