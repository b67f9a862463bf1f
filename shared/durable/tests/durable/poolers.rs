//! Behind PgBouncer in transaction mode, where sessions change places.

use crate::faults::by;
use durable::{Log, append, within};
use shared::streams::Follow;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use testing::{PgBouncer, Postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn everything_works_through_a_pooler_in_transaction_mode() {
    let postgres = Postgres::shared();
    let direct = postgres.migrated_database().await;
    let pooler = PgBouncer::start(postgres, &["pool_mode = transaction", "default_pool_size = 3"]);
    let url = pooler.url(&direct);
    // Somebody else's listener stays in a session of the pooler, which then sends its messages to whoever has the session.
    let mut somebody = PgConnection::connect_with(&options(&url)).await.unwrap();
    execute_on(&mut somebody, "LISTEN streams").await;
    for settings in [&[][..], &[("DATABASE_DIRECT_URL", &*direct)][..]] {
        let (here, there) = (Log::at(&url, settings), Log::at(&url, settings));
        let path = format!("a{}", settings.len());
        let mut cursor = here.empty(&path).await;
        for number in 0..50 {
            let following = here.following(&path, cursor, 10);
            there
                .streams
                .append(&within(10), by(number, append(&path, format!("{number} "))))
                .await
                .unwrap();
            let Ok(Follow::Page(page)) = following.await.unwrap() else {
                panic!("{number}")
            };
            assert_eq!(page.records[0].data, format!("{number} "));
            cursor = page.cursor();
        }
        here.streams.delete(&within(10), &path).await.unwrap();
    }
}

fn options(url: &str) -> PgConnectOptions {
    let options: PgConnectOptions = url.parse().unwrap();
    options.extra_float_digits(None)
}

async fn execute_on(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}
