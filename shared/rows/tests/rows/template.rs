//! A migrated database for a test.

use std::time::{Duration, Instant};
use testing::{Postgres, newest_migration, scalar};

/// A copy has the moments at which the template was migrated.
#[tokio::test]
async fn no_migration_runs_for_the_second_database() {
    const MOMENTS: &str = "SELECT sum(extract(epoch FROM installed_on) * 1000000)::bigint FROM _sqlx_migrations";
    let postgres = Postgres::start(&[]);
    let (first, second) = (postgres.migrated_database().await, postgres.migrated_database().await);
    assert_eq!(scalar(&first, MOMENTS).await, scalar(&second, MOMENTS).await);
    let other = Postgres::start(&[]).migrated_database().await;
    assert_ne!(
        scalar(&other, MOMENTS).await,
        scalar(&first, MOMENTS).await,
        "the control was migrated itself"
    );
}

/// Both are copies, and what a copy costs is up to the disk: 35 ms where it is quiet.
#[tokio::test]
async fn a_migrated_database_costs_a_test_no_more_than_an_empty_one() {
    let postgres = Postgres::start(&[]);
    let first = postgres.migrated_database().await;
    let (mut migrated, mut empty) = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        let start = Instant::now();
        postgres.empty_database().await;
        empty = empty.min(start.elapsed());
        let start = Instant::now();
        let url = postgres.migrated_database().await;
        migrated = migrated.min(start.elapsed());
        assert_ne!(url, first);
        let newest = scalar(&url, "SELECT max(version) FROM _sqlx_migrations");
        assert_eq!(newest.await, newest_migration());
    }
    assert!(
        migrated < empty + Duration::from_millis(15),
        "{migrated:?} and {empty:?}"
    );
}
