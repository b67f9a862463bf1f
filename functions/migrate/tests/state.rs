//! What the migrator reads and leaves in a database: one table of migrations wherever it lies, a session of its own for
//! each file, and the truth about what failed.

#![allow(clippy::unwrap_used)]

#[path = "fixture/folder.rs"]
mod folder;

use folder::{COLUMN, Folder, INDEX, TABLE, refused};
use serde_json::{Value, json};
use shared::{
    database::{Database, Reason},
    testing::{Postgres, execute, scalar},
};
use sqlx::{Connection, PgConnection, migrate::Migrate};
use std::time::{Duration, Instant};

async fn database() -> String {
    Postgres::shared().empty_database().await
}

fn database_name(url: &str) -> &str {
    url.split('?').next().unwrap().rsplit('/').next().unwrap()
}

/// The URL for another role, which is made for this test alone.
async fn role(url: &str, name: &str, options: &str) -> String {
    execute(url, &format!("CREATE ROLE {name} LOGIN PASSWORD 'x' {options}")).await;
    let port = Postgres::shared().port();
    format!("postgresql://{name}:x@127.0.0.1:{port}/{}", database_name(url))
}

async fn tables(url: &str, name: &str) -> i64 {
    scalar(
        url,
        &format!("SELECT count(*) FROM pg_tables WHERE tablename = '{name}'"),
    )
    .await
}

#[tokio::test]
async fn another_search_path_does_not_hide_the_table_of_migrations() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    let name = database_name(&url);
    for path in ["app, public", "app", "nowhere", "\"We ird\""] {
        execute(
            &url,
            "CREATE SCHEMA IF NOT EXISTS app; CREATE SCHEMA IF NOT EXISTS \"We ird\"",
        )
        .await;
        execute(&url, &format!("ALTER DATABASE {name} SET search_path = {path}")).await;
        assert_eq!(folder.ok(&url, "up")["status"], "nothing_to_do", "{path}");
        assert_eq!(folder.ok(&url, "plan")["status"], "nothing_to_do", "{path}");
        assert_eq!(folder.health(&url).await, Ok(None), "{path}");
    }
    folder.add(&[
        ("0002_next.up.sql", "CREATE TABLE next ();"),
        ("0002_next.down.sql", "DROP TABLE next;"),
    ]);
    assert_eq!(folder.health(&url).await, Ok(Some(Reason::SchemaBehind)));
    assert_eq!(folder.ok(&url, "up")["version_after"], 2);
    assert_eq!(folder.ok(&url, "down")["version_after"], 1);
    assert_eq!(tables(&url, "_sqlx_migrations").await, 1);
}

#[tokio::test]
async fn a_table_that_was_moved_is_used_where_it_is_by_the_file_that_moves_it_too() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.add(&[(
        "0002_move.up.sql",
        "CREATE SCHEMA \"We ird\"; ALTER TABLE _sqlx_migrations SET SCHEMA \"We ird\"; SET search_path = nowhere;",
    )]);
    folder.add(&[("0003_next.up.sql", "-- no-transaction\nCREATE TABLE next ();")]);
    assert_eq!(folder.ok(&url, "up")["version_after"], 3);
    assert_eq!(folder.ok(&url, "status")["status"], "current");
    assert_eq!(folder.health(&url).await, Ok(None));
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM \"We ird\"._sqlx_migrations WHERE success").await,
        3
    );
}

#[tokio::test]
async fn two_tables_of_migrations_are_refused_by_both_names() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    execute(
        &url,
        "CREATE SCHEMA app; CREATE TABLE app._sqlx_migrations (LIKE _sqlx_migrations)",
    )
    .await;
    for line in ["up", "down", "plan", "status", "stamp 1"] {
        refused(
            &folder,
            &url,
            line,
            "misconfigured",
            &["app._sqlx_migrations", "public._sqlx_migrations"],
        );
    }
    assert_eq!(folder.health(&url).await, Err(Reason::Misconfigured));
    execute(
        &url,
        "DROP TABLE app._sqlx_migrations; CREATE TEMP TABLE _sqlx_migrations ()",
    )
    .await;
    assert_eq!(folder.ok(&url, "up")["status"], "nothing_to_do");
}

#[tokio::test]
async fn the_table_is_created_in_the_first_schema_that_exists_or_not_at_all() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    let name = database_name(&url);
    execute(&url, &format!("ALTER DATABASE {name} SET search_path = nowhere")).await;
    refused(
        &folder,
        &url,
        "up",
        "misconfigured",
        &["no schema of the search_path exists"],
    );
    execute(
        &url,
        &format!("CREATE SCHEMA app; ALTER DATABASE {name} SET search_path = nowhere, app, public"),
    )
    .await;
    folder.ok(&url, "up");
    let there =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'app' AND tablename IN ('_sqlx_migrations', 'cases')";
    assert_eq!(scalar(&url, there).await, 2);
}

#[tokio::test]
async fn a_role_without_rights_on_the_schema_or_the_table_is_misconfigured() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    let weak = role(&url, "without_usage", "").await;
    execute(&url, "REVOKE ALL ON SCHEMA public FROM public").await;
    // There is nothing to be kept from yet.
    assert_eq!(folder.health(&weak).await, Ok(Some(Reason::SchemaBehind)));
    folder.ok(&url, "up");
    refused(
        &folder,
        &weak,
        "status",
        "misconfigured",
        &["public._sqlx_migrations", "USAGE"],
    );
    assert_eq!(folder.health(&weak).await, Err(Reason::Misconfigured));
    execute(&url, "GRANT USAGE ON SCHEMA public TO without_usage").await;
    assert_eq!(folder.health(&weak).await, Err(Reason::Misconfigured));
    execute(&url, "GRANT SELECT ON _sqlx_migrations TO without_usage").await;
    assert_eq!(folder.health(&weak).await, Ok(None));
}

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
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let row = sqlx::query_scalar("SELECT row_to_json(seen)::text FROM seen");
        row.fetch_one(&mut connection).await.unwrap()
    };
    let expected: String = seen(&["up"], "SELECT 1").await;
    assert!(expected.contains("\"tenant\":null"), "{expected}");
    assert_eq!(seen(&["up"], LEAVES).await, expected);
    assert_eq!(seen(&["up --to 2", "up"], LEAVES).await, expected);
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
        &format!("ALTER DATABASE {} OWNER TO with_one_session", database_name(&url)),
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

/// What may have committed by itself is dirty, and not run again; what cannot have is not.
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
    let before = format!("-- no-transaction\nDO $$ BEGIN CREATE TABLE half (); RAISE EXCEPTION 'before it'; END $$");
    for sql in [
        &in_transaction,
        &before,
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

/// Past the reading of its text: `case` is a name here, which only a parser can know.
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
    let (code, report) = folder::report(&folder.migrate(&url).with("MIGRATE_STATEMENT_TIMEOUT", "300ms"), "up");
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

/// Marks, records and forgets version 2 as a migrator does, again and again, under the lock.
async fn migrate_all_the_time(url: String) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    loop {
        connection.lock().await.unwrap();
        for sql in [
            "INSERT INTO _sqlx_migrations SELECT 2, 'names', now(), false, checksum, -1 FROM _sqlx_migrations WHERE version = 1",
            "DELETE FROM _sqlx_migrations WHERE version = 2",
        ] {
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
        connection.unlock().await.unwrap();
    }
}

/// The control: rows and lock in two queries, as two statements see them.
async fn looks_dirty_in_two_queries(connection: &mut PgConnection) -> bool {
    let dirty: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE NOT success")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(connection)
    .await
    .unwrap();
    dirty > 0 && locks == 0
}

#[tokio::test]
async fn a_migrator_at_work_never_looks_dirty_between_two_looks() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    folder.add(&INDEX);
    let at_work = tokio::spawn(migrate_all_the_time(url.clone()));
    let database: Database = folder.database(&url);
    let mut control = PgConnection::connect(&url).await.unwrap();
    let (start, mut struck) = (Instant::now(), 0);
    while struck < 5 && start.elapsed() < Duration::from_secs(60) {
        struck += u32::from(looks_dirty_in_two_queries(&mut control).await);
        let schema = database.schema().await.unwrap();
        assert_eq!(schema.fault, Some(Reason::SchemaBehind));
    }
    assert!(struck > 0, "the control never saw it");
    at_work.abort();
}

#[tokio::test]
async fn what_another_role_is_building_is_not_named_as_invalid_and_what_it_left_is() {
    let (folder, url) = (Folder::with(&[TABLE, COLUMN].concat()), database().await);
    folder.ok(&url, "up");
    let weak = role(&url, "without_statistics", "").await;
    execute(&url, "GRANT SELECT ON _sqlx_migrations TO without_statistics").await;
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let mut open = reader.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE cases IN ROW EXCLUSIVE MODE")
        .execute(&mut *open)
        .await
        .unwrap();
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    let named = |url: &str| folder.ok(url, "status")["invalid_indexes"].clone();
    for sql in [
        "CREATE INDEX CONCURRENTLY by_name ON cases (name)",
        "DROP INDEX CONCURRENTLY by_name",
    ] {
        let mut builder = PgConnection::connect(&url).await.unwrap();
        let id: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut builder)
            .await
            .unwrap();
        let building = tokio::spawn(async move { sqlx::raw_sql(sql).execute(&mut builder).await.map(drop) });
        while scalar(&url, invalid).await == 0 {}
        assert_eq!((named(&url), named(&weak)), (Value::Null, Value::Null), "{sql}");
        execute(&url, &format!("SELECT pg_cancel_backend({id})")).await;
        assert!(building.await.unwrap().is_err());
        for url in [&url, &weak] {
            assert!(named(url).as_str().unwrap().contains("public.by_name"), "{sql}");
        }
        if sql.starts_with("CREATE") {
            execute(&url, "UPDATE pg_index SET indisvalid = true WHERE NOT indisvalid").await;
        }
    }
    open.rollback().await.unwrap();
}
