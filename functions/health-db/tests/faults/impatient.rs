//! `health-db` with a deadline of half a second, and servers that keep it waiting.

use shared::{
    config::Env,
    database::{Database, Session},
    deadline::Deadline,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use testing::{Binary, Client, Process};

pub const TIMEOUT: Duration = Duration::from_millis(500);

/// `health-db` with a short deadline, and a cache too short to matter.
pub fn health_db(url: &str) -> Process {
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db")).with("DATABASE_URL", url);
    function
        .with("HEALTH_TIMEOUT", "500ms")
        .with("HEALTH_CACHE", "1ms")
        .serve()
}

pub async fn reason(server: &Process) -> String {
    let start = Instant::now();
    let answer = Client::http1().get(&format!("{}/health/db", server.url)).await;
    assert!(start.elapsed() < 3 * TIMEOUT, "{:?}", start.elapsed());
    answer.json()["reason"].as_str().unwrap_or("healthy").to_owned()
}

/// A session that holds something that others wait for.
pub async fn holder(url: &str, sql: &'static str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

pub async fn becomes(server: &Process, expected: &str) {
    let start = Instant::now();
    loop {
        let reason = reason(server).await;
        if reason == expected {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{reason}: {}", server.log());
    }
}

/// A session of a function.
pub async fn session(database: &Database) -> Session {
    database.session(&Deadline::default()).await.unwrap()
}

/// The database as functions use it.
pub fn database(url: &str) -> Database {
    let url = url.to_owned();
    let env = Env::new(move |key| (key == "DATABASE_URL").then(|| url.clone()));
    Database::from_env(&env)
}
