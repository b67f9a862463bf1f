//! A migrated database for a test.

use testing::{Postgres, newest_migration, scalar};

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
