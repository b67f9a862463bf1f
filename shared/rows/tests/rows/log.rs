//! The log of queries that fail.

use crate::accounts::{Accounts, database, within};
use shared::{config::Env, database::Database, deadline::Deadline, problem::Problem};
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

/// The lines that this writes.
async fn written(work: impl Future<Output = ()>) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    work.with_subscriber(subscriber).await;
    log.lines()
}

/// The lines that a transaction of these queries writes, whose errors the function ignores.
async fn log(queries: &'static [&'static str], deadline: &Deadline) -> Vec<String> {
    let accounts = Accounts::new(Postgres::shared()).await;
    written(async {
        let done = accounts.database.transaction(deadline, async |transaction| {
            for query in queries {
                let _ignored = sqlx::query(*query).execute(&mut *transaction).await;
            }
            Ok::<_, sqlx::Error>(())
        });
        assert!(done.await.is_err());
    })
    .await
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
async fn a_failed_single_statement_is_logged_once_without_its_values_and_becomes_a_problem() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let connection = accounts.database.connection(&Deadline::default());
    let lines = written(async {
        let cast = sqlx::query("SELECT $1::text::int, 'secret one'").bind("secret two");
        let failed = cast.execute(&connection).await.unwrap_err();
        assert_eq!(Problem::from(failed).status(), 500);
    });
    let lines = lines.await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains("(22P02)"), "{lines:?}");
    assert!(
        lines[0].contains("$1::text::int") && !lines[0].contains("secret"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_text_that_no_query_could_store_is_a_clients_error_and_shows_no_value() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let connection = accounts.database.connection(&Deadline::default());
    // Of letters that do not repeat, so that it is not compressed below the limit of an index.
    let long: String = (0..3000_u32).filter_map(|n| char::from_u32(0x4E00 + n * 7)).collect();
    sqlx::query("CREATE TABLE names (short varchar(6), name text UNIQUE)")
        .execute(&connection)
        .await
        .unwrap();
    for (state, sql, text) in [
        ("22001", "INSERT INTO names (short) VALUES ($1::text)", "secret7"),
        ("22021", "INSERT INTO names (name) VALUES ($1)", "secret\0"),
        ("22021", "SELECT $1::text", "secret\0"),
        ("22P05", "SELECT $1::text::jsonb", r#"{"secret": "\u0000"}"#),
        ("22P05", "SELECT $1::text::json ->> 'secret'", r#"{"secret": "\u0000"}"#),
        ("54000", "INSERT INTO names (name) VALUES ($1)", &long),
    ] {
        let lines = written(async {
            let failed = sqlx::query(sql).bind(text).execute(&connection).await.unwrap_err();
            let problem = Problem::from(failed);
            assert_eq!(
                (problem.status().as_u16(), problem.slug()),
                (422, Some("unstorable-value"))
            );
        });
        let lines = lines.await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("INFO") && lines[0].contains(state), "{lines:?}");
        assert!(!lines[0].contains(text) && !lines[0].contains("secret\""), "{lines:?}");
    }
    let fits = sqlx::query("INSERT INTO names VALUES ($1, $1)").bind("secret");
    fits.execute(&connection).await.unwrap();
}

#[tokio::test]
async fn a_row_that_does_not_fit_or_is_not_there_is_logged_once_when_it_becomes_a_problem() {
    let accounts = Accounts::new(Postgres::shared()).await;
    let connection = accounts.database.connection(&Deadline::default());
    for sql in ["SELECT 1", "SELECT 'a' WHERE false"] {
        let lines = written(async {
            let failed = sqlx::query_scalar::<_, String>(sql).fetch_one(&connection).await;
            assert_eq!(Problem::from(failed.unwrap_err()).status(), 500);
        });
        let lines = lines.await;
        assert!(lines.len() == 1 && lines[0].contains("ERROR"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_a_problem_that_passes() {
    let database = database("postgresql://a@127.0.0.1:1/a", &[]);
    let lines = written(async {
        let connection = database.connection(&within(Duration::from_secs(1)));
        let failed = sqlx::query("SELECT 1").execute(&connection).await.unwrap_err();
        assert_eq!(Problem::from(failed).slug(), Some("unavailable"));
    });
    assert_eq!(lines.await.len(), 1);
}

#[tokio::test]
async fn a_deadline_that_passes_is_logged_once() {
    let lines = log(&["SELECT pg_sleep(60)"], &within(Duration::from_secs(2))).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_database_that_is_not_configured_is_logged_and_a_500() {
    let database = Database::from_env(&Env::new(|_| None));
    let deadline = Deadline::default();
    let lines = written(async {
        let done = database.transaction(&deadline, async |_| Ok::<_, Problem>(()));
        assert_eq!(done.await.unwrap_err().status(), 500);
    })
    .await;
    assert!(
        matches!(&lines[..], [line] if line.contains("not_configured")),
        "{lines:?}"
    );
}
