//! Every command, and every state of the schema that it must refuse, on the real binary and a real Postgres.

use crate::folder::{COLUMN, Folder, INDEX, TABLE, database, refused, report};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use testing::{Postgres, database_of, execute, scalar};

fn all() -> Folder {
    Folder::with(&[TABLE, INDEX, COLUMN].concat())
}

#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_refused_by_its_name() {
    let (folder, url) = (all(), database().await);
    folder.ok(&url, "up");
    folder.add(&[
        ("0002_names.up.sql", "SELECT 1;"),
        ("0004_next.up.sql", "SELECT 1;"),
        ("0004_next.down.sql", ""),
    ]);
    for line in ["up", "plan", "down"] {
        refused(&folder, &url, line, "schema_drift", &["0002_names.up.sql"]);
    }
    assert_eq!(folder.ok(&url, "status")["status"], "schema_drift");
}

#[tokio::test]
async fn a_file_that_is_out_of_order_is_refused_by_its_name() {
    let (folder, url) = (Folder::with(&[TABLE, COLUMN].concat()), database().await);
    folder.ok(&url, "up");
    folder.add(&INDEX);
    refused(&folder, &url, "up", "out_of_order", &["0002_names.up.sql", "version 3"]);
    assert_eq!(folder.ok(&url, "status")["status"], "schema_behind");
}

#[tokio::test]
async fn a_database_that_is_ahead_is_left_as_it_is() {
    let (newer, older, url) = (all(), Folder::with(&TABLE), database().await);
    newer.ok(&url, "up");
    assert_eq!(older.ok(&url, "up")["status"], "ahead");
    assert_eq!(older.ok(&url, "status")["status"], "schema_ahead");
    refused(&older, &url, "down", "schema_ahead", &["version 3", "ends at 1"]);
    refused(&older, &url, "stamp 1", "schema_ahead", &["version 3"]);
}

#[tokio::test]
async fn a_file_that_fails_is_rolled_back_whole_and_those_before_it_stay() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.add(&[(
        "0002_broken.up.sql",
        "CREATE TABLE half (id int);\nINSERT INTO half VALUES ('not a number');",
    )]);
    refused(
        &folder,
        &url,
        "up",
        "failed",
        &["0002_broken.up.sql", "nothing behind", "line 2: ", "integer", "22P02"],
    );
    assert_eq!(
        folder.ok(&url, "status")["schema"],
        json!({"current": 1, "expected": 2})
    );
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM pg_tables WHERE tablename = 'half'").await,
        0
    );
}

#[tokio::test]
async fn an_index_that_was_left_invalid_is_named_with_the_way_out() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    execute(&url, "INSERT INTO cases VALUES (1, 'same'), (2, 'same')").await;
    folder.add(&[
        (
            "0002_names.up.sql",
            "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY cases_by_name ON cases (name);",
        ),
        INDEX[1],
    ]);
    let drop = "DROP INDEX CONCURRENTLY public.cases_by_name";
    refused(
        &folder,
        &url,
        "up",
        "schema_dirty",
        &["0002_names.up.sql", "INVALID", drop, "stamp 2", "stamp 1"],
    );
    refused(&folder, &url, "up", "schema_dirty", &["0002_names.up.sql", drop]);
    let status = folder.ok(&url, "status");
    assert_eq!(
        (&status["status"], &status["migrations"][1]["state"]),
        (&json!("schema_dirty"), &json!("dirty"))
    );
    assert_eq!(status["schema"], json!({"current": 1, "expected": 2}));
    assert!(status["invalid_indexes"].as_str().unwrap().contains(drop), "{status}");
    // Half of the way out: the record is set back, the index is still there.
    folder.ok(&url, "stamp 1");
    refused(&folder, &url, "up", "invalid_index", &["0002_names.up.sql", drop]);
    execute(&url, drop).await;
    execute(&url, "DELETE FROM cases WHERE id = 2").await;
    assert_eq!(folder.ok(&url, "up")["version_after"], 2);
}

#[tokio::test]
async fn a_file_outside_of_a_transaction_that_leaves_nothing_behind_is_not_dirty() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.add(&[(
        "0002_gone.up.sql",
        "-- no-transaction\nDROP INDEX CONCURRENTLY nowhere;",
    )]);
    refused(&folder, &url, "up", "failed", &["0002_gone.up.sql", "nowhere"]);
    assert_eq!(folder.ok(&url, "status")["status"], "schema_behind");
}

/// A session that has locked the table, until it is dropped.
async fn locked(url: &str) -> PgConnection {
    let mut holder = PgConnection::connect(url).await.unwrap();
    let lock = sqlx::raw_sql("BEGIN; LOCK TABLE cases").execute(&mut holder);
    lock.await.unwrap();
    holder
}

#[tokio::test]
async fn a_lock_that_others_hold_is_waited_for_in_short_attempts() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    folder.add(&COLUMN);
    let holder = locked(&url).await;
    let migrate = folder.migrate(&url).with("MIGRATE_LOCK_TIMEOUT", "200ms");
    let mut migrator = migrate.start("trying again");
    drop(holder);
    assert_eq!(migrator.exit_code(Duration::from_secs(30)), Some(0));
    let log = migrator.log();
    assert!(log.contains("lock timeout"), "{log}");
}

#[tokio::test]
async fn a_lock_that_others_never_release_ends_the_run_with_nothing_changed() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    folder.add(&COLUMN);
    let holder = locked(&url).await;
    let migrate = folder.migrate(&url).with("MIGRATE_LOCK_TIMEOUT", "10ms");
    let (code, failed) = report(&migrate, "up");
    assert_eq!((code, &failed["reason"]), (Some(1), &json!("locked")), "{failed}");
    drop(holder);
    assert_eq!(folder.ok(&url, "status")["status"], "schema_behind");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let (folder, url) = (
        Folder::with(&[("0001_slow.up.sql", "SELECT pg_sleep(60);")]),
        database().await,
    );
    let start = Instant::now();
    let (code, failed) = report(&folder.migrate(&url).with("MIGRATE_STATEMENT_TIMEOUT", "200ms"), "up");
    assert_eq!((code, &failed["reason"]), (Some(1), &json!("failed")), "{failed}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_migrator_waits_for_another_no_longer_than_migrate_wait() {
    let (folder, url) = (
        Folder::with(&[("0001_slow.up.sql", "SELECT pg_sleep(60);")]),
        database().await,
    );
    let _slow = folder.migrate(&url).start("\"running\"");
    let (code, failed) = report(&folder.migrate(&url).with("MIGRATE_WAIT", "300ms"), "up");
    assert_eq!((code, &failed["reason"]), (Some(1), &json!("busy")), "{failed}");
}

#[tokio::test]
async fn what_has_no_way_back_and_what_has_no_file_is_refused() {
    let (folder, url) = (
        Folder::with(&[("0001_only.up.sql", "CREATE TABLE t (id int);")]),
        database().await,
    );
    folder.ok(&url, "up");
    refused(&folder, &url, "down", "irreversible", &["version 1"]);
    for line in ["up --to 9", "stamp 9"] {
        refused(&folder, &url, line, "no_such_version", &["version 9"]);
    }
    let nowhere = folder.migrate(&url).with("MIGRATIONS_DIR", "/nowhere");
    assert_eq!(report(&nowhere, "up").1["reason"], "misconfigured");
}

#[tokio::test]
async fn a_plan_is_the_sql_that_up_runs_and_changes_nothing() {
    let (folder, url) = (all(), database().await);
    let plan = folder.ok(&url, "plan");
    assert_eq!(plan["status"], "pending");
    let files: Vec<&str> = plan["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["0001_cases.up.sql", "0002_names.up.sql", "0003_closed.up.sql"]);
    assert_eq!(
        plan["files"][1],
        json!({"file": INDEX[0].0, "transaction": false, "sql": INDEX[0].1})
    );
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await,
        0
    );
    folder.ok(&url, "up");
    assert_eq!(folder.ok(&url, "plan"), json!({"status": "nothing_to_do", "files": []}));
}

#[tokio::test]
async fn up_stops_at_the_version_and_down_reverts_the_number_in_the_arguments() {
    let (folder, url) = (all(), database().await);
    assert_eq!(folder.ok(&url, "up --to 2")["version_after"], 2);
    assert_eq!(folder.ok(&url, "up --to 1")["status"], "nothing_to_do");
    assert_eq!(folder.ok(&url, "up")["version_after"], 3);
    assert_eq!(folder.ok(&url, "down")["version_after"], 2);
    assert_eq!(folder.ok(&url, "down 9")["version_after"], 0);
    assert_eq!(folder.ok(&url, "down")["status"], "nothing_to_do");
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM pg_tables WHERE tablename = 'cases'").await,
        0
    );
}

#[tokio::test]
async fn a_database_that_was_migrated_by_hand_is_adopted_by_a_stamp() {
    let (folder, url) = (all(), database().await);
    execute(&url, TABLE[0].1).await;
    let stamped = folder.ok(&url, "stamp 1");
    assert_eq!(
        (&stamped["status"], &stamped["version_after"]),
        (&json!("stamped"), &json!(1))
    );
    assert_eq!(folder.ok(&url, "up")["version_before"], 1);
    folder.ok(&url, "stamp 0");
    assert_eq!(folder.ok(&url, "status")["schema"]["current"], 0);
}

#[tokio::test]
async fn the_history_holds_every_run_that_moved_the_schema() {
    let url = Postgres::shared().empty_database().await;
    let embedded = testing::Binary::new(env!("CARGO_BIN_EXE_migrate")).with("DATABASE_URL", &url);
    assert_eq!(
        report(&embedded, "history").1,
        json!({"status": "recorded", "runs": []})
    );
    report(&embedded, "up");
    report(&embedded, "up");
    let (_, history) = report(&embedded, "history");
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{history}");
    assert_eq!(
        (&runs[0]["version_before"], &runs[0]["version_after"]),
        (&json!(0), &json!(testing::newest_migration()))
    );
    assert!(runs[0]["started_at"].as_str().unwrap().ends_with('Z'), "{history}");
    let name = database_of(&url);
    execute(
        &url,
        &format!("CREATE SCHEMA app; ALTER DATABASE {name} SET search_path = app"),
    )
    .await;
    assert_eq!(report(&embedded, "history").1, history);
}

#[tokio::test]
async fn a_role_that_may_have_one_connection_can_migrate() {
    let (folder, url) = (all(), database().await);
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    execute(&url, "CREATE ROLE limited LOGIN PASSWORD 'x' CONNECTION LIMIT 1").await;
    execute(&url, &format!("ALTER DATABASE {name} OWNER TO limited")).await;
    let port = Postgres::shared().port();
    let limited = format!("postgresql://limited:x@127.0.0.1:{port}/{name}");
    assert_eq!(folder.ok(&limited, "up")["version_after"], 3);
}
