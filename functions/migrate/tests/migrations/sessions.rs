//! What a file leaves behind: nothing in the session of the next file, and in the database exactly what its record says.

use crate::folder::{Folder, TABLE, database, refused, role, tables};
use serde_json::json;
use shared::database::Reason;
use sqlx::{Connection, PgConnection};
use testing::{database_of, execute, scalar};

/// What a file can leave in its session, and what the next one then sees.
const LEAVES: &str = "SELECT set_config('search_path', 'app', false), set_config('app.tenant', 'a', false), setseed(0.5);
    SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET standard_conforming_strings = off;
    SET lock_timeout = 1; SET statement_timeout = '7s'; SET TIME ZONE 'Asia/Tokyo'; SET session_replication_role = replica;
    CREATE TEMP TABLE seen_before (); PREPARE seen_before AS SELECT 1; LISTEN seen_before; SELECT pg_advisory_lock(4711);
    DECLARE seen_before CURSOR WITH HOLD FOR SELECT 1; SET ROLE pg_monitor;";
const SEES: &str =
    "CREATE TABLE public.seen AS SELECT current_setting('search_path') AS path, current_user::text AS role,
    current_setting('app.tenant', true) AS tenant, current_setting('transaction_isolation') AS isolation,
    current_setting('statement_timeout') AS timeout, current_setting('TimeZone') AS zone, '\\'::text AS strings,
    current_setting('session_replication_role') AS replication, to_regclass('pg_temp.seen_before')::text AS temporary,
    (SELECT count(*) FROM pg_prepared_statements WHERE name = 'seen_before') AS prepared,
    (SELECT count(*) FROM pg_cursors WHERE name = 'seen_before') AS cursors,
    (SELECT count(*) FROM pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711) AS locks;";

#[tokio::test]
async fn every_file_starts_from_the_same_session() {
    let row = async |url: &str| -> String {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let row = sqlx::query_scalar("SELECT row_to_json(seen)::text FROM seen");
        row.fetch_one(&mut connection).await.unwrap()
    };
    let seen = async |lines: &[&str], first: &str| {
        let url = database().await;
        let folder = Folder::with(&[
            ("0001_app.up.sql", "CREATE SCHEMA app;"),
            ("0002_leaves.up.sql", first),
            ("0003_sees.up.sql", SEES),
        ]);
        for line in lines {
            folder.ok(&url, line);
        }
        row(&url).await
    };
    let expected = seen(&["up"], "SELECT 1").await;
    assert!(expected.contains("\"tenant\":null"), "{expected}");
    assert_eq!(seen(&["up"], LEAVES).await, expected);
    assert_eq!(seen(&["up --to 2", "up"], LEAVES).await, expected);
    // The control: both in one session.
    let url = database().await;
    execute(&url, &format!("CREATE SCHEMA app; {LEAVES} RESET ROLE; {SEES}")).await;
    assert_ne!(row(&url).await, expected);
}

#[tokio::test]
async fn what_a_file_sets_does_not_reach_the_record_of_the_migrator() {
    let url = database().await;
    execute(&url, "CREATE ROLE without_rights").await;
    let folder = Folder::with(&TABLE);
    for (version, sql) in (2..).zip([
        "SET ROLE without_rights",
        "SET SESSION AUTHORIZATION without_rights",
        "SET search_path = ''",
        "SET LOCAL search_path = nowhere",
        "RESET ALL",
        "SET default_transaction_read_only = on",
        "SET client_min_messages = error; SET statement_timeout = 1; SET lock_timeout = 1",
        "DEALLOCATE ALL",
        "SELECT pg_advisory_unlock_all()",
        "-- no-transaction\nDISCARD ALL",
        "-- no-transaction\nSET ROLE without_rights",
        "-- no-transaction\nSET search_path = nowhere",
        "-- no-transaction\nSET default_transaction_read_only = on",
    ]) {
        folder.add(&[
            (&format!("{version:04}_sets.up.sql"), sql),
            (&format!("{version:04}_sets.down.sql"), sql),
        ]);
    }
    assert_eq!(folder.ok(&url, "up")["version_after"], 14);
    assert_eq!(folder.ok(&url, "status")["status"], "current");
    assert_eq!(folder.ok(&url, "down 14")["version_after"], 0);
    assert_eq!(tables(&url, "cases").await, 0);
}

#[tokio::test]
async fn a_role_with_one_connection_gets_a_session_like_new() {
    let url = database().await;
    let limited = role(&url, "with_one_session", "CONNECTION LIMIT 1").await;
    execute(
        &url,
        &format!("ALTER DATABASE {} OWNER TO with_one_session", database_of(&url)),
    )
    .await;
    let folder = Folder::with(&[
        (
            "0001_leaves.up.sql",
            "CREATE SCHEMA app; SET search_path = app; CREATE TEMP TABLE t (); PREPARE p AS SELECT 1;",
        ),
        ("0002_sees.up.sql", "CREATE TABLE t (); PREPARE p AS SELECT 1;"),
    ]);
    folder.ok(&limited, "up");
    assert_eq!(
        scalar(
            &url,
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 't'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn a_deferred_constraint_that_fails_at_the_commit_leaves_nothing_behind() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.add(&[(
        "0002_late.up.sql",
        "ALTER TABLE cases ADD next bigint REFERENCES cases DEFERRABLE INITIALLY DEFERRED; INSERT INTO cases VALUES (1, 'a', 2);",
    )]);
    refused(
        &folder,
        &url,
        "up",
        "failed",
        &["0002_late.up.sql", "nothing behind", "23503"],
    );
    assert_eq!(scalar(&url, "SELECT count(*) FROM cases").await, 0);
}

/// A file that may have committed by itself is dirty, and is not run again; one that cannot have is not dirty.
#[tokio::test]
async fn what_is_not_proven_undone_is_dirty_and_what_is_may_run_again() {
    let body = "BEGIN CREATE TABLE half (); COMMIT; RAISE EXCEPTION 'after it'; END";
    let block = format!("-- no-transaction\nDO $$ {body} $$");
    let call = "-- no-transaction\nCALL halfway()";
    for sql in [&block, call] {
        let (folder, url) = (Folder::with(&TABLE), database().await);
        execute(
            &url,
            &format!("CREATE PROCEDURE halfway() LANGUAGE plpgsql AS $$ {body} $$"),
        )
        .await;
        folder.add(&[("0002_half.up.sql", sql)]);
        refused(
            &folder,
            &url,
            "up",
            "schema_dirty",
            &["0002_half.up.sql", "after it", "stamp 2", "stamp 1"],
        );
        assert_eq!(tables(&url, "half").await, 1, "the fault struck");
        refused(&folder, &url, "up", "schema_dirty", &["0002_half.up.sql"]);
        assert_eq!(folder.health(&url).await, Ok(Some(Reason::SchemaDirty)));
    }
    let in_transaction = format!("DO $$ {body} $$; SELECT 1");
    let before = "-- no-transaction\nDO $$ BEGIN CREATE TABLE half (); RAISE EXCEPTION 'before it'; END $$";
    for sql in [
        &in_transaction,
        before,
        "-- no-transaction\nVACUUM nowhere",
        "-- no-transaction\nSELEC 1",
    ] {
        let (folder, url) = (Folder::with(&TABLE), database().await);
        folder.add(&[("0002_half.up.sql", sql)]);
        for _ in 0..2 {
            refused(&folder, &url, "up", "failed", &["0002_half.up.sql", "nothing behind"]);
        }
        assert_eq!(tables(&url, "half").await, 0);
        assert_eq!(folder.health(&url).await, Ok(Some(Reason::SchemaBehind)));
    }
}

/// The reader of the text cannot see this `COMMIT`: `case` is a name here, which only a parser can know.
#[tokio::test]
async fn a_commit_that_the_text_hides_is_dirty() {
    let hidden =
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 case; END; CREATE TABLE half (); COMMIT;";
    for rest in ["SELECT 1;", "SELECT 1/0;", "BEGIN; SELECT 1/0;", "BEGIN; SELECT 1;"] {
        let (folder, url) = (Folder::with(&TABLE), database().await);
        folder.add(&[("0002_sly.up.sql", &format!("{hidden} {rest}"))]);
        refused(
            &folder,
            &url,
            "up",
            "schema_dirty",
            &["0002_sly.up.sql", "migrate stamp 1"],
        );
        assert_eq!(tables(&url, "half").await, 1, "the fault struck: {rest}");
        refused(&folder, &url, "up", "schema_dirty", &["0002_sly.up.sql"]);
    }
}

#[tokio::test]
async fn a_partition_that_is_half_detached_is_dirty_with_the_way_out() {
    let url = database().await;
    execute(
        &url,
        "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
    )
    .await;
    let folder = Folder::with(&[(
        "0001_detach.up.sql",
        "-- no-transaction\nALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;",
    )]);
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let mut open = reader.begin().await.unwrap();
    sqlx::raw_sql("SELECT * FROM p").execute(&mut *open).await.unwrap();
    let (code, report) = crate::folder::report(&folder.migrate(&url).with("MIGRATE_STATEMENT_TIMEOUT", "300ms"), "up");
    assert_eq!((code, &report["reason"]), (Some(1), &json!("schema_dirty")), "{report}");
    let way_out = "ALTER TABLE p DETACH PARTITION p1 FINALIZE";
    refused(
        &folder,
        &url,
        "up",
        "schema_dirty",
        &["0001_detach.up.sql", way_out, "stamp 1"],
    );
    open.rollback().await.unwrap();
    execute(&url, way_out).await;
    folder.ok(&url, "stamp 1");
    assert_eq!(folder.ok(&url, "up")["status"], "nothing_to_do");
}

#[tokio::test]
async fn a_session_that_is_ended_leaves_a_dirty_file_or_one_that_is_whole_or_not_there() {
    let end = "SELECT pg_terminate_backend(pg_backend_pid())";
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.add(&[("0002_ended.up.sql", &format!("CREATE TABLE half (); {end}"))]);
    refused(&folder, &url, "up", "connection_lost", &["0002_ended.up.sql", "57P01"]);
    assert_eq!(tables(&url, "half").await, 0);
    assert_eq!(folder.health(&url).await, Ok(Some(Reason::SchemaBehind)));
    folder.add(&[("0002_ended.up.sql", &format!("-- no-transaction\n{end}"))]);
    refused(
        &folder,
        &url,
        "up",
        "schema_dirty",
        &["0002_ended.up.sql", "57P01", "stamp 2", "stamp 1"],
    );
    refused(&folder, &url, "up", "schema_dirty", &["0002_ended.up.sql"]);
}
