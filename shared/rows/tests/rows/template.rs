//! A migrated database for a test.

use testing::{Postgres, execute, newest_migration, scalar};

/// The sum of the moments at which the migrations of a database have run.
async fn moments(url: &str) -> i64 {
    scalar(
        url,
        "SELECT sum(extract(epoch FROM installed_on) * 1000000)::bigint FROM _sqlx_migrations",
    )
    .await
}

/// A copy costs the same whatever the number of migrations. The control is another server, which runs them itself.
#[tokio::test]
async fn no_migration_runs_for_the_second_database_of_a_server() {
    let (postgres, other) = (Postgres::start(&[]), Postgres::start(&[]));
    let first = postgres.migrated_database().await;
    let second = postgres.migrated_database().await;
    let control = other.migrated_database().await;
    assert_ne!(first, second);
    assert_eq!(
        scalar(&second, "SELECT max(version) FROM _sqlx_migrations").await,
        newest_migration()
    );
    assert_eq!(moments(&first).await, moments(&second).await);
    assert_ne!(moments(&first).await, moments(&control).await);
}

/// The bytes of the server's log so far.
async fn logged(postgres: &Postgres) -> i64 {
    scalar(&postgres.url(), "SELECT (pg_current_wal_lsn() - '0/0')::bigint").await
}

/// What a copy costs, as a number that a busy machine does not move. The control is the default of the server.
#[tokio::test]
async fn a_copy_of_the_template_does_not_go_through_the_log() {
    const MEBIBYTE: i64 = 1 << 20;
    let postgres = Postgres::start(&["autovacuum=off"]);
    postgres.migrated_database().await;
    let start = logged(&postgres).await;
    postgres.migrated_database().await;
    let copied = logged(&postgres).await - start;
    let start = logged(&postgres).await;
    execute(
        &postgres.url(),
        "CREATE DATABASE control TEMPLATE template1 STRATEGY wal_log",
    )
    .await;
    let control = logged(&postgres).await - start;
    assert!(
        copied < MEBIBYTE && control > 4 * MEBIBYTE,
        "{copied} and {control} bytes"
    );
}
