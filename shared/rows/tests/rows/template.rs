//! A migrated database for a test.

use std::time::{Duration, Instant};
use testing::{Postgres, newest_migration, scalar};

#[tokio::test]
async fn a_test_gets_a_migrated_database_of_its_own_in_a_moment() {
    let postgres = Postgres::start(&[]);
    let start = Instant::now();
    let first = postgres.migrated_database().await;
    eprintln!("the first takes {:?}", start.elapsed());
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let url = postgres.migrated_database().await;
        eprintln!("{:?}", start.elapsed());
        fastest = fastest.min(start.elapsed());
        let newest = "SELECT max(version) FROM _sqlx_migrations";
        assert_eq!(scalar(&url, newest).await, newest_migration());
        assert_ne!(url, first);
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}
