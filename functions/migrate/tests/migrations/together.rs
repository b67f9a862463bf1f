//! Many migrators at once, and migrators that are killed: one works, the others wait, and the next run knows what is left.

use crate::folder::{COLUMN, Folder, INDEX, TABLE, writing};
use sqlx::Connection;
use std::{
    path::Path,
    process::{Child, Output},
    time::{Duration, Instant},
};
use testing::{Postgres, execute, scalar};

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

/// A run whose first file sleeps, while sqlx's own migrator waits in the server's queue to apply the files of another folder.
async fn with_sqlx_between_two_files(folder: &Folder, other: &Folder, url: &str) -> Output {
    let migrator = sqlx::migrate::Migrator::new(Path::new(other.path())).await.unwrap();
    let run = folder.migrate(url).start_run(&["up", "--json"]);
    until(
        url,
        "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    )
    .await;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    run.wait_with_output().unwrap()
}

#[tokio::test]
async fn sqlx_may_run_its_migrator_between_two_files() {
    let folder = Folder::with(&[
        ("0001_slow.up.sql", "CREATE TABLE slow (); SELECT pg_sleep(0.5)"),
        ("0002_next.up.sql", "CREATE TABLE next ()"),
        ("0003_last.up.sql", "CREATE TABLE last ()"),
    ]);
    let url = Postgres::shared().empty_database().await;
    let output = with_sqlx_between_two_files(&folder, &folder, &url).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("0003_last"), "{output:?}");
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM _sqlx_migrations WHERE success").await,
        3
    );
}

/// As does one of another release.
#[tokio::test]
async fn what_another_migrator_left_between_two_files_is_looked_at_before_the_next() {
    let slow = ("0001_slow.up.sql", "CREATE TABLE slow (); SELECT pg_sleep(0.5)");
    let last = ("0003_last.up.sql", "CREATE TABLE last ()");
    let folder = Folder::with(&[slow, ("0002_next.up.sql", "CREATE TABLE next ()"), last]);
    let other = Folder::with(&[slow, ("0002_next.up.sql", "CREATE TABLE other ()")]);
    let url = Postgres::shared().empty_database().await;
    let output = with_sqlx_between_two_files(&folder, &other, &url).await;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        report.contains("schema_drift") && report.contains("0002_next"),
        "{report}"
    );
    let recorded = "SELECT count(*) FROM _sqlx_migrations WHERE success";
    assert_eq!(
        scalar(&url, recorded).await,
        2,
        "0003 runs on what nobody has looked at"
    );
}

/// The control: why the lock is polled. Each waits in the server, which holds a snapshot that the index waits for. A
/// reader keeps the index back until the second one waits.
#[tokio::test]
async fn two_plain_sqlx_migrators_deadlock_on_a_concurrent_index() {
    let folder = Folder::with(&[TABLE, INDEX].concat());
    let url = Postgres::shared().empty_database().await;
    let migrator = sqlx::migrate::Migrator::new(Path::new(folder.path())).await.unwrap();
    execute(&url, TABLE[0].1).await;
    folder.ok(&url, "stamp 1");
    let mut reader = sqlx::PgConnection::connect(&url).await.unwrap();
    let open = writing(&mut reader).await;
    let run = async || {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        migrator.run_direct(None, &mut connection, false).await
    };
    let second = async {
        until(&url, "pg_index WHERE NOT indisvalid").await;
        run().await
    };
    let release = async {
        until(&url, "pg_locks WHERE locktype = 'advisory' AND NOT granted").await;
        open.rollback().await.unwrap();
    };
    let (first, second, ()) = futures_util::join!(run(), second, release);
    let failed = [first, second]
        .into_iter()
        .find_map(Result::err)
        .expect("one of the two fails");
    assert!(failed.to_string().contains("deadlock detected"), "{failed}");
}

async fn until(url: &str, condition: &str) {
    let start = Instant::now();
    while scalar(url, &format!("SELECT count(*) FROM {condition}")).await == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {condition}");
    }
}

/// In a transaction and outside of one: a run takes 250 ms at least.
fn four_files() -> Folder {
    Folder::with(&[
        (
            "0001_cases.up.sql",
            "CREATE TABLE cases (id bigint, name text); SELECT pg_sleep(0.05);",
        ),
        (
            "0002_fill.up.sql",
            "INSERT INTO cases SELECT g, 'name ' || g FROM generate_series(1, 20000) g; SELECT pg_sleep(0.05);",
        ),
        ("0003_names.up.sql", INDEX[0].1),
        (
            "0004_closed.up.sql",
            "ALTER TABLE cases ADD COLUMN closed timestamptz; SELECT pg_sleep(0.15);",
        ),
    ])
}

/// Kills a migrator. Returns whether it was still at work.
fn kill(mut migrator: Child) -> bool {
    let is_running = migrator.try_wait().unwrap().is_none();
    migrator.kill().unwrap();
    migrator.wait().unwrap();
    is_running
}

/// Runs `up` again: it succeeds, or it names the dirty file and a way out that works. Returns whether a file was dirty.
async fn mend(folder: &Folder, url: &str) -> bool {
    let (code, report) = folder.run(url, "up");
    let is_dirty = code != Some(0);
    if is_dirty {
        assert_eq!(report["reason"], "schema_dirty", "{report}");
        let detail = report["detail"].as_str().unwrap();
        assert!(
            detail.contains("0003_names.up.sql") && detail.contains("stamp 2"),
            "{detail}"
        );
        execute(url, "DROP INDEX IF EXISTS cases_by_name").await;
        folder.ok(url, "stamp 2");
        folder.ok(url, "up");
    }
    assert_eq!(scalar(url, "SELECT count(*) FROM cases").await, 20000);
    let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = 'cases_by_name'::regclass AND indisvalid";
    assert_eq!(scalar(url, valid).await, 1);
    assert_eq!(folder.ok(url, "status")["status"], "current");
    is_dirty
}

#[tokio::test]
async fn killed_at_any_point_the_next_run_is_clean_or_names_the_dirty_file_and_the_way_out() {
    let (folder, postgres) = (four_files(), Postgres::start(&[]));
    let mut hits = 0;
    for delay in (0..240).step_by(10) {
        let url = postgres.empty_database().await;
        let migrator = folder.migrate(&url).start_run(&["up"]);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        hits += usize::from(kill(migrator));
        mend(&folder, &url).await;
    }
    assert!(hits > 12, "{hits} of 24 were still at work");
}

#[tokio::test]
async fn killed_in_a_transaction_the_next_run_is_clean_and_outside_of_one_it_is_not() {
    let (folder, postgres) = (four_files(), Postgres::start(&[]));
    let url = postgres.empty_database().await;
    let migrator = folder.migrate(&url).start_run(&["up"]);
    until(&url, "pg_stat_activity WHERE wait_event = 'PgSleep'").await;
    assert!(kill(migrator), "the fault struck");
    assert!(!mend(&folder, &url).await);

    let url = postgres.empty_database().await;
    folder.ok(&url, "up --to 2");
    let mut reader = sqlx::PgConnection::connect(&url).await.unwrap();
    let open = writing(&mut reader).await;
    let migrator = folder.migrate(&url).start_run(&["up"]);
    until(&url, "pg_index WHERE NOT indisvalid").await;
    assert!(kill(migrator), "the fault struck");
    // The server notices within a second, although the statement waits for the reader.
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrate'";
    let start = Instant::now();
    while scalar(&url, at_work).await > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the index is still being built"
        );
    }
    open.rollback().await.unwrap();
    assert!(mend(&folder, &url).await);
}

/// The record is a statement like those of the file: while it waits, so does everything that the file has locked.
#[tokio::test]
async fn a_record_that_has_to_wait_does_not_hold_up_the_queries_behind_its_file() {
    let folder = Folder::with(&[TABLE, COLUMN].concat());
    let url = Postgres::shared().empty_database().await;
    folder.ok(&url, "up --to 1");
    let mut reader = sqlx::PgConnection::connect(&url).await.unwrap();
    let mut open = reader.begin().await.unwrap();
    let lock = sqlx::raw_sql("LOCK TABLE _sqlx_migrations IN SHARE MODE");
    lock.execute(&mut *open).await.unwrap();
    let migrator = folder.migrate(&url).with("MIGRATE_LOCK_TIMEOUT", "200ms");
    let migrator = migrator.start("trying again");
    // Rolled back, the file has no lock that a query waits for.
    execute(&url, "SET lock_timeout = '2s'; SELECT count(*) FROM cases").await;
    open.rollback().await.unwrap();
    let applied = "SELECT count(*) FROM _sqlx_migrations WHERE success";
    while scalar(&url, applied).await < 2 {}
    drop(migrator);
}
