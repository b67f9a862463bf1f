//! The log of queries that fail.

use crate::accounts::{Accounts, within};
use shared::deadline::Deadline;
use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use testing::Postgres;
use tracing::instrument::WithSubscriber;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter(|line| line.contains("shared::database"))
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that a transaction of these queries writes, whose errors the function ignores.
async fn log(queries: &'static [&'static str], deadline: &Deadline) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let accounts = Accounts::new(Postgres::shared()).await;
    let done = accounts.database.transaction(deadline, async |transaction| {
        for query in queries {
            let _ignored = sqlx::query(*query).execute(&mut *transaction).await;
        }
        Ok::<_, sqlx::Error>(())
    });
    assert!(done.with_subscriber(subscriber).await.is_err());
    log.lines()
}

#[tokio::test]
async fn a_failed_query_is_logged_once_with_its_cause_whatever_the_function_makes_of_it() {
    let lines = log(&["SELECT 1 / 0", "SELECT 2", "SELECT 3"], &Deadline::default()).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("ERROR") && lines[0].contains("division by zero (22012)"),
        "{lines:?}"
    );
    assert!(lines[0].contains("SELECT 1 / 0"), "{lines:?}");
}

#[tokio::test]
async fn the_violation_of_a_constraint_is_no_error_in_the_log_and_shows_no_value() {
    let lines = log(&["INSERT INTO accounts VALUES (1, 4711)"], &Deadline::default()).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("INFO") && lines[0].contains("accounts_pkey"),
        "{lines:?}"
    );
    assert!(!lines[0].contains("Key (id)"), "{lines:?}");
}

#[tokio::test]
async fn a_deadline_that_passes_is_logged_once() {
    let lines = log(&["SELECT pg_sleep(60)"], &within(Duration::from_millis(300))).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
}
