//! Health checks and functions behind a real PgBouncer.

use crate::impatient::{TIMEOUT, becomes, database, health_db, holder, reason, session};
use shared::deadline::Deadline;
use sqlx::{AssertSqlSafe, Executor};
use std::time::{Duration, Instant};
use testing::{Binary, Client, PgBouncer, Postgres, database_of, scalar};
use tokio::time::sleep;

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn behind_a_pooler_in_any_mode_nothing_is_left_running() {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for mode in ["transaction", "session", "statement"] {
        let postgres = Postgres::start(&[]);
        let url = postgres.migrated_database().await;
        let pooler = PgBouncer::start(&postgres, &[&format!("pool_mode = {mode}")]);
        let server = health_db(&pooler.url(&url));
        becomes(&server, "healthy").await;
        let holder = holder(&url, "BEGIN; LOCK TABLE _sqlx_migrations").await;
        for _ in 0..15 {
            assert_eq!(reason(&server).await, "timeout", "{}", server.log());
            sleep(TIMEOUT).await;
            assert_eq!(scalar(&postgres.url(), WAITING).await, 0, "{mode}");
        }
        drop(holder);
        becomes(&server, "healthy").await;
        // The bound must not stay in a session that the pooler then lends to another client.
        let timeout = "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'";
        assert_eq!(scalar(&url, timeout).await, 0);
    }
}

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn three_idle_checks_leave_a_session_pooler_of_three_to_the_application() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let pooler = PgBouncer::start(&postgres, &["pool_mode = session", "default_pool_size = 3"]);
    let checks = [(); 3].map(|()| health_db(&pooler.url(&url)));
    for check in &checks {
        becomes(check, "healthy").await;
    }
    // Of the functions here, which the pooler would refuse for their `statement_timeout`.
    let application = database(&pooler.url(&url));
    let start = Instant::now();
    while application.session(&Deadline::default()).await.is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "no session is left to the application"
        );
    }
    assert!(start.elapsed() > Duration::from_secs(5), "the checks had them all");
}

/// Each of the sessions that a function opens at the same time is refused for its `statement_timeout`.
#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn the_first_queries_of_a_function_may_come_at_the_same_time() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let pooler = PgBouncer::start(&postgres, &["pool_mode = session"]);
    // `prefer` would try again without encryption; with `disable`, only the rejected timeout causes another attempt.
    let application = database(&format!("{}?sslmode=disable", pooler.url(&url)));
    let sleep = async || session(&application).await.execute("SELECT pg_sleep(0.2)").await;
    let queries = (0..5).map(|_| sleep());
    for answer in futures_util::future::join_all(queries).await {
        answer.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn what_a_pooler_says_becomes_a_reason() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    let full = PgBouncer::start(&postgres, &["max_client_conn = 1"]);
    let client = database(&full.url(&url));
    let _client = session(&client).await;
    assert_eq!(reason(&health_db(&full.url(&url))).await, "too_many_connections");
    let busy = PgBouncer::start(
        &postgres,
        &["pool_mode = session", "default_pool_size = 1", "query_wait_timeout = 1"],
    );
    let only = database(&busy.url(&url));
    let mut only = session(&only).await;
    only.execute("SELECT 1").await.unwrap();
    let patient = Binary::new(env!("CARGO_BIN_EXE_health-db")).with("DATABASE_URL", busy.url(&url));
    let patient = patient.with("HEALTH_TIMEOUT", "5s").serve();
    let answer = Client::http1().get(&format!("{}/health/db", patient.url)).await;
    assert_eq!(answer.json()["reason"], "too_many_connections", "{}", patient.log());
    let disabled = PgBouncer::start(&postgres, &[]);
    let name = database_of(&url);
    let server = health_db(&disabled.url(&url));
    becomes(&server, "healthy").await;
    let console = database(&disabled.console());
    for command in ["DISABLE", "KILL"] {
        let command = AssertSqlSafe(format!("{command} {name}"));
        sqlx::raw_sql(command)
            .execute(&mut *session(&console).await)
            .await
            .unwrap();
    }
    assert_eq!(reason(&server).await, "unreachable", "{}", server.log());
}
