//! Sessions that are lent, and a listener.

use crate::accounts::{Accounts, TOTAL, connection, database};
use shared::deadline::Deadline;
use std::time::{Duration, Instant};
use testing::{Postgres, scalar};
use tokio::time::timeout;

#[tokio::test]
async fn a_session_that_is_lent_goes_back_only_if_it_is_in_the_middle_of_nothing() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let process = async |first: &'static str| -> i32 {
        let mut session = database.session(&Deadline::default()).await.unwrap();
        let process = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *session);
        let process = process.await.unwrap();
        let is_slow = first.contains("sleep");
        let patience = Duration::from_millis(if is_slow { 100 } else { 10_000 });
        let begun = timeout(patience, sqlx::raw_sql(first).execute(&mut *session)).await;
        assert!(begun.is_ok_and(|begun| begun.is_ok()) || is_slow);
        process
    };
    let first = process("SELECT 1").await;
    assert_eq!(process("BEGIN; UPDATE accounts SET balance = 0").await, first);
    let second = process("SELECT pg_sleep(60)").await;
    assert_ne!(second, first);
    let start = Instant::now();
    process("SELECT 1").await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(scalar(&accounts.url, TOTAL).await, 200);
}

#[tokio::test]
async fn a_listener_hears_notifications_without_a_session_of_the_pool() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let database = database(&accounts.url, &[("DATABASE_MAX_CONNECTIONS", "1")]);
    let mut listener = database.listener().await.unwrap();
    listener.listen("bell").await.unwrap();
    let ring = sqlx::query("SELECT pg_notify('bell', $1)").bind("ring");
    ring.execute(&connection(&database)).await.unwrap();
    let heard = timeout(Duration::from_secs(10), listener.recv()).await.unwrap();
    assert_eq!(heard.unwrap().payload(), "ring");
}
