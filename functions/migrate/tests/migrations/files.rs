//! What a folder and a file must not contain: refused by name, and by line, before anything runs.

use crate::folder::{Folder, TABLE, refused, tables};
use shared::database::Reason;
use std::{
    fs,
    time::{Duration, Instant},
};
use testing::{Postgres, scalar};

const ALL_COMMANDS: [&str; 5] = ["up", "down", "plan", "status", "stamp 1"];

#[tokio::test]
async fn two_files_with_one_version_are_refused_by_both_names_in_every_command_and_in_health() {
    let (folder, url) = (Folder::with(&TABLE), Postgres::shared().empty_database().await);
    folder.add(&[
        ("0002_a.up.sql", "CREATE TABLE a ();"),
        ("0002_a.down.sql", "DROP TABLE a;"),
    ]);
    folder.ok(&url, "up");
    assert_eq!(folder.health(&url).await, Ok(None));
    folder.add(&[
        ("0002_b.up.sql", "CREATE TABLE b ();"),
        ("0002_b.down.sql", "DROP TABLE b;"),
    ]);
    for line in ALL_COMMANDS {
        refused(
            &folder,
            &url,
            line,
            "misconfigured",
            &["0002_a.up.sql", "0002_b.up.sql"],
        );
    }
    assert_eq!(folder.health(&url).await, Err(Reason::Misconfigured));
    assert_eq!(tables(&url, "b").await, 0);
}

#[tokio::test]
async fn a_name_that_is_almost_right_is_refused_by_that_name_in_every_command_and_in_health() {
    let url = Postgres::shared().empty_database().await;
    for name in [
        "0002-add.up.sql",
        "1.sql",
        "0003_x.UP.SQL",
        "0002_x.down.sql",
        "0002_x.up.sql~",
        "0000_x.up.sql",
    ] {
        let folder = Folder::with(&TABLE);
        folder.add(&[(name, "CREATE TABLE b ();")]);
        for line in ALL_COMMANDS {
            refused(&folder, &url, line, "misconfigured", &[name]);
        }
        assert_eq!(folder.health(&url).await, Err(Reason::Misconfigured));
    }
    let folder = Folder::with(&TABLE);
    fs::create_dir(format!("{}/0002_x", folder.path())).unwrap();
    refused(&folder, &url, "up", "misconfigured", &["0002_x"]);
    assert_eq!(tables(&url, "cases").await, 0);
}

#[tokio::test]
async fn statements_that_would_end_the_transaction_are_refused_by_line_before_anything_runs() {
    let url = Postgres::shared().empty_database().await;
    for command in [
        "COMMIT",
        "rollback",
        "END",
        "BEGIN",
        "start transaction",
        "ABORT work",
        "PREPARE TRANSACTION 'x'",
    ] {
        for first in ["", "-- no-transaction\n"] {
            let folder = Folder::with(&TABLE);
            let sql = format!("{first}CREATE TABLE half ();\n/* ; */ {command};\nSELECT 1/0;");
            folder.add(&[("0002_sly.up.sql", &sql)]);
            let line = format!("line {}: ", sql.lines().count() - 1);
            for command in ["plan", "up"] {
                refused(&folder, &url, command, "invalid_file", &["0002_sly.up.sql", &line]);
            }
        }
    }
    // Not even the file before the invalid one has run.
    assert_eq!((tables(&url, "cases").await, tables(&url, "half").await), (0, 0));
}

/// Each of ten attempts would add a row.
#[tokio::test]
async fn a_file_that_commits_and_then_waits_for_a_lock_is_not_repeated() {
    let (folder, url) = (Folder::with(&TABLE), Postgres::shared().empty_database().await);
    folder.ok(&url, "up");
    folder.add(&[(
        "0002_twice.up.sql",
        "INSERT INTO cases (id) SELECT count(*) FROM cases; COMMIT; BEGIN; ALTER TABLE cases ADD twice int;",
    )]);
    refused(
        &folder,
        &url,
        "up",
        "invalid_file",
        &["0002_twice.up.sql", "line 1: COMMIT"],
    );
    assert_eq!(scalar(&url, "SELECT count(*) FROM cases").await, 0);
}

#[tokio::test]
async fn what_was_applied_before_is_not_held_against_it() {
    let (folder, url) = (Folder::with(&TABLE), Postgres::shared().empty_database().await);
    folder.add(&[("0002_old.up.sql", "BEGIN; CREATE TABLE old (); COMMIT;")]);
    folder.ok(&url, "up --to 1");
    folder.ok(&url, "stamp 2");
    assert_eq!(folder.ok(&url, "up")["status"], "nothing_to_do");
}

#[tokio::test]
async fn savepoints_and_words_in_quotes_run() {
    let (folder, url) = (Folder::with(&TABLE), Postgres::shared().empty_database().await);
    folder.add(&[(
        "0002_fine.up.sql",
        "SAVEPOINT a; INSERT INTO cases VALUES (1, 'COMMIT;'); ROLLBACK TO a;\n\
         INSERT INTO cases VALUES (2, E'\\'; COMMIT; --'), (3, $x$; ROLLBACK; $x$); /* COMMIT; /* */ */\n\
         CREATE FUNCTION three() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 3 END; END;\n\
         CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END; $$; CALL p(); DO $$ BEGIN NULL; END $$;",
    )]);
    folder.ok(&url, "up");
    assert_eq!(scalar(&url, "SELECT count(*) + three() FROM cases").await, 5);
}

#[tokio::test]
async fn a_copy_from_the_client_and_a_command_of_psql_are_refused_by_line() {
    let url = Postgres::shared().empty_database().await;
    for sql in [
        "COPY cases FROM stdin;",
        "copy cases (id) to STDOUT",
        "\\connect other",
        "\\i other.sql",
    ] {
        let folder = Folder::with(&TABLE);
        folder.add(&[("0002_data.up.sql", &format!("SELECT 1;\n{sql}"))]);
        refused(&folder, &url, "up", "invalid_file", &["0002_data.up.sql", "line 2: "]);
    }
    // Other tests hold locks in the same server, and a session ends a moment after its process.
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE locktype = 'advisory' AND datname = current_database()";
    let start = Instant::now();
    while scalar(&url, locks).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "a lock is left");
    }
}

/// As pg_dump 15.18 wrote it, with `--inserts --no-owner`.
#[tokio::test]
async fn a_dump_of_pg_dump_works_as_the_first_file() {
    let dump = include_str!("dump.sql");
    for part in [
        "\\restrict ",
        "\\unrestrict ",
        "set_config('search_path', '', false)",
        "BEGIN ATOMIC",
    ] {
        assert!(dump.contains(part), "{part}");
    }
    let folder = Folder::with(&[
        ("0001_baseline.up.sql", dump),
        ("0002_next.up.sql", "CREATE TABLE next ();"),
    ]);
    let url = Postgres::shared().empty_database().await;
    assert_eq!(folder.ok(&url, "up")["version_after"], 2);
    assert_eq!(
        scalar(&url, "SELECT count(*) + app.two() + app.three() FROM app.cases").await,
        7
    );
    let in_public =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('next', '_sqlx_migrations')";
    assert_eq!(scalar(&url, in_public).await, 2);
}
