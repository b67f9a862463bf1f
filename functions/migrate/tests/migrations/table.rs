//! What the migrator and the health check read: the table of migrations in any schema, and whether a migrator is at work.

use crate::folder::{COLUMN, Folder, INDEX, TABLE, database, refused, role, tables, writing};
use serde_json::Value;
use shared::database::{Database, Reason};
use sqlx::{Connection, PgConnection, migrate::Migrate};
use std::time::{Duration, Instant};
use testing::{database_of, execute, scalar};

#[tokio::test]
async fn another_search_path_does_not_hide_the_table_of_migrations() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    let name = database_of(&url);
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
    let name = database_of(&url);
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
    // There is no table yet that the role could not read.
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

const MARK: &str = "INSERT INTO _sqlx_migrations
    SELECT 2, 'names', now(), false, checksum, -1 FROM _sqlx_migrations WHERE version = 1";
const FORGET: &str = "DELETE FROM _sqlx_migrations WHERE version = 2";
const DIRTY: &str = "SELECT count(*) FROM _sqlx_migrations WHERE NOT success";

/// Marks and forgets version 2 under the lock, as a migrator at work does.
async fn work(connection: &mut PgConnection, between: impl AsyncFnOnce()) {
    connection.lock().await.unwrap();
    sqlx::raw_sql(MARK).execute(&mut *connection).await.unwrap();
    between().await;
    sqlx::raw_sql(FORGET).execute(&mut *connection).await.unwrap();
    connection.unlock().await.unwrap();
}

#[tokio::test]
async fn a_migrator_at_work_never_looks_dirty_between_two_looks() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    folder.add(&INDEX);
    let mut worker = PgConnection::connect(&url).await.unwrap();
    // The control: in two queries, rows of before its end and the lock of after look like a file that failed.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut dirty = 0;
    work(&mut worker, async || dirty = scalar(&url, DIRTY).await).await;
    assert_eq!((dirty, scalar(&url, locks).await), (1, 0));

    let at_work = tokio::spawn(async move {
        loop {
            work(&mut worker, async || ()).await;
        }
    });
    let database: Database = folder.database(&url);
    let (start, mut struck) = (Instant::now(), 0);
    while struck < 100 && start.elapsed() < Duration::from_secs(60) {
        struck += scalar(&url, DIRTY).await;
        let schema = database.schema(Duration::from_secs(2)).await.unwrap();
        assert_eq!(schema.fault, Some(Reason::SchemaBehind));
    }
    assert!(struck > 0, "it was never seen at work");
    at_work.abort();
}

#[tokio::test]
async fn what_another_role_is_building_is_not_named_as_invalid_and_what_it_left_is() {
    let (folder, url) = (Folder::with(&[TABLE, COLUMN].concat()), database().await);
    folder.ok(&url, "up");
    let weak = role(&url, "without_statistics", "").await;
    execute(&url, "GRANT SELECT ON _sqlx_migrations TO without_statistics").await;
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let open = writing(&mut reader).await;
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
        // The error comes before the locks go.
        while scalar(&url, &format!("SELECT count(*) FROM pg_locks WHERE pid = {id}")).await > 0 {}
        for url in [&url, &weak] {
            assert!(named(url).as_str().unwrap().contains("public.by_name"), "{sql}");
        }
        if sql.starts_with("CREATE") {
            execute(&url, "UPDATE pg_index SET indisvalid = true WHERE NOT indisvalid").await;
        }
    }
    open.rollback().await.unwrap();
}
