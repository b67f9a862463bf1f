//! Many migrators at once, and migrators that are killed: one works, the others wait, and what is left can be told.

#![allow(clippy::unwrap_used)]

#[path = "fixture/folder.rs"]
mod folder;

use folder::{COLUMN, Folder, INDEX, TABLE};
use shared::testing::{Postgres, execute, scalar};
use sqlx::Connection;
use std::{path::Path, time::Duration};

#[tokio::test]
async fn twenty_migrators_twenty_times_apply_each_file_once_and_all_end_with_0() {
    let folder = Folder::with(&[TABLE, INDEX, COLUMN].concat());
    let postgres = Postgres::start(&["max_connections=200"]);
    for round in 0..20 {
        let url = postgres.empty_database().await;
        let migrators: Vec<_> = (0..20)
            .map(|_| folder.migrate(&url).start_run(&["up", "--json"]))
            .collect();
        let mut migrated = 0;
        for migrator in migrators {
            let output = migrator.wait_with_output().unwrap();
            let report = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success(),
                "round {round}: {report} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            migrated += usize::from(report.contains("\"migrated\""));
        }
        assert_eq!(migrated, 1, "round {round}");
        assert_eq!(
            scalar(&url, "SELECT count(*) FROM _sqlx_migrations WHERE success").await,
            3
        );
    }
}

#[tokio::test]
async fn a_concurrent_index_that_is_being_built_is_not_dirty() {
    let folder = Folder::with(&[TABLE, INDEX].concat());
    let url = Postgres::shared().empty_database().await;
    folder.ok(&url, "up --to 1");
    // The index waits for this transaction to end.
    let mut reader = sqlx::PgConnection::connect(&url).await.unwrap();
    let mut open = reader.begin().await.unwrap();
    sqlx::raw_sql("SELECT count(*) FROM cases")
        .execute(&mut *open)
        .await
        .unwrap();
    sqlx::raw_sql("LOCK TABLE cases IN ROW EXCLUSIVE MODE")
        .execute(&mut *open)
        .await
        .unwrap();
    let migrator = folder.migrate(&url).start("\"running\"");
    let begun = "SELECT count(*) FROM _sqlx_migrations WHERE NOT success";
    while scalar(&url, begun).await == 0 {}
    assert_eq!(folder.ok(&url, "status")["status"], "schema_behind");
    let older = Folder::with(&TABLE);
    assert_eq!(older.ok(&url, "status")["status"], "current");
    open.rollback().await.unwrap();
    assert_eq!(folder.ok(&url, "up")["status"], "nothing_to_do");
    drop(migrator);
}

/// The control: why the lock is polled. Each waits in the server, which holds a snapshot that the index waits for.
#[tokio::test]
async fn two_plain_sqlx_migrators_deadlock_on_a_concurrent_index() {
    let folder = Folder::with(&[TABLE, INDEX].concat());
    let url = Postgres::shared().empty_database().await;
    let migrator = sqlx::migrate::Migrator::new(Path::new(folder.path())).await.unwrap();
    let run = async || {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        migrator.run_direct(None, &mut connection, false).await
    };
    let (first, second) = futures_util::join!(run(), run());
    let failed = [first, second]
        .into_iter()
        .find_map(Result::err)
        .expect("one of the two fails");
    assert!(failed.to_string().contains("deadlock detected"), "{failed}");
}

#[tokio::test]
async fn killed_at_any_point_the_next_run_is_clean_or_names_the_dirty_file_and_the_way_out() {
    // Long enough to be hit: in a transaction, and outside of one.
    let folder = Folder::with(&[
        (
            "0001_cases.up.sql",
            "CREATE TABLE cases (id bigint, name text); SELECT pg_sleep(0.05);",
        ),
        ("0001_cases.down.sql", "DROP TABLE cases;"),
        (
            "0002_fill.up.sql",
            "INSERT INTO cases SELECT g, 'name ' || g FROM generate_series(1, 20000) g;",
        ),
        ("0002_fill.down.sql", "DELETE FROM cases;"),
        ("0003_names.up.sql", INDEX[0].1),
        ("0003_names.down.sql", INDEX[1].1),
        ("0004_closed.up.sql", COLUMN[0].1),
        ("0004_closed.down.sql", COLUMN[1].1),
    ]);
    let postgres = Postgres::start(&[]);
    let mut dirty = 0;
    for delay in (0..240).step_by(8) {
        let url = postgres.empty_database().await;
        let mut killed = folder.migrate(&url).start_run(&["up"]);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        let (code, report) = folder.run(&url, "up");
        if code != Some(0) {
            dirty += 1;
            assert_eq!(report["reason"], "schema_dirty", "{report}");
            let detail = report["detail"].as_str().unwrap();
            assert!(
                detail.contains("0003_names.up.sql") && detail.contains("stamp 2"),
                "{detail}"
            );
            execute(&url, "DROP INDEX IF EXISTS cases_by_name").await;
            folder.ok(&url, "stamp 2");
            folder.ok(&url, "up");
        }
        assert_eq!(scalar(&url, "SELECT count(*) FROM cases").await, 20000);
        let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = 'cases_by_name'::regclass AND indisvalid";
        assert_eq!(scalar(&url, valid).await, 1);
        assert_eq!(folder.ok(&url, "status")["status"], "current");
    }
    eprintln!("{dirty} of 30 were killed outside of a transaction");
}
