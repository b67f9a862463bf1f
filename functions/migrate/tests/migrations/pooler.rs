//! Through a real PgBouncer: in transaction mode a migrator is refused, in session mode it works, and reading works in both.

use serde_json::json;
use shared::{config::Env, database::Database};
use sqlx::{ConnectOptions, Row, postgres::PgConnectOptions};
use std::time::Duration;
use testing::{Binary, PgBouncer, Postgres, newest_migration, scalar};

fn migrate(url: &str, command: &str) -> serde_json::Value {
    let function = Binary::new(env!("CARGO_BIN_EXE_migrate")).with("DATABASE_URL", url);
    let output = function.run(&[command, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {output:?}"))
}

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn a_pooler_in_transaction_mode_is_refused_and_keeps_no_lock() {
    let postgres = Postgres::start(&[]);
    let pooler = PgBouncer::start(&postgres, &["pool_mode = transaction"]);
    let url = postgres.empty_database().await;
    for _ in 0..5 {
        let refused = migrate(&pooler.url(&url), "up");
        assert_eq!(refused["reason"], "pooler", "{refused}");
        assert_eq!(migrate(&pooler.url(&url), "status")["status"], "schema_behind");
    }
    assert_eq!(
        scalar(&url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await,
        0
    );
    // Nor a setting, which whoever is lent the session next would have.
    let options: PgConnectOptions = pooler.url(&url).parse().unwrap();
    let mut next = options.extra_float_digits(None).connect().await.unwrap();
    let settings = "SELECT count(*) FROM pg_settings WHERE source = 'session'
                    AND (name LIKE '%_timeout' OR name IN ('search_path', 'client_connection_check_interval'))";
    let row = sqlx::raw_sql(settings).fetch_one(&mut next).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
    assert_eq!(migrate(&url, "up")["status"], "migrated");
    assert_eq!(migrate(&pooler.url(&url), "up")["status"], "nothing_to_do");
    // The queries of a health check, in sessions that share those of the server.
    let behind = pooler.url(&url);
    let env = Env::new(move |key| (key == "DATABASE_URL").then(|| behind.clone()));
    let databases = [(); 5].map(|()| Database::from_env(&env));
    for _ in 0..5 {
        let checks = databases.iter().map(|database| database.schema(Duration::from_secs(2)));
        for schema in futures_util::future::join_all(checks).await {
            assert_eq!(schema.unwrap().fault, None);
        }
    }
}

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn a_pooler_in_session_mode_is_as_good_as_the_server() {
    let postgres = Postgres::start(&[]);
    let pooler = PgBouncer::start(&postgres, &["pool_mode = session"]);
    let url = postgres.empty_database().await;
    assert_eq!(migrate(&pooler.url(&url), "up"), {
        let mut expected = json!({"status": "migrated", "version_before": 0, "version_after": newest_migration()});
        expected["duration_ms"] = migrate(&pooler.url(&url), "history")["runs"][0]["duration_ms"].clone();
        expected
    });
}
