//! Every way in which Postgres fails a probe: the reason, how long the probe takes, and the recovery.

use crate::probed::{end_sessions, probed};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use testing::{Binary, Client, DEADLINE, Postgres, execute, loopback, migrate, newest_migration, scalar};

#[tokio::test]
async fn killed_with_9_it_is_unreachable_and_back_after_a_restart() {
    let mut postgres = Postgres::start(&[]);
    let server = probed(&postgres.migrated_database().await);
    server.recovers().await;
    postgres.signal("KILL");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.fails("unreachable").await;
    postgres.restart();
    server.recovers().await;
}

#[tokio::test]
async fn stopped_with_sigstop_it_times_out_and_is_back_when_it_continues() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    // The connection that the first probe leaves open must not hide that nobody accepts a new one.
    let server = probed(&url);
    server.recovers().await;
    end_sessions(&url).await;
    postgres.signal("STOP");
    server.forgets().await;
    server.fails("timeout").await;
    postgres.signal("CONT");
    server.recovers().await;
}

#[tokio::test]
async fn a_port_that_accepts_and_never_answers_times_out() {
    let (silent, _) = loopback().await;
    let port = silent.local_addr().unwrap().port();
    let server = probed(&format!(
        "postgresql://hostile-user:hostile-secret@127.0.0.1:{port}/hostile_database"
    ));
    server.fails("timeout").await;
    server.fails("timeout").await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable_at_once() {
    let server = probed("postgresql://hostile-user:hostile-secret@127.0.0.1:1/hostile_database");
    let start = Instant::now();
    server.fails("unreachable").await;
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_cause_is_logged_once_under_the_id_of_the_request() {
    let server = probed("postgresql://hostile-user:hostile-secret@127.0.0.1:1/hostile_database");
    let answer = server.probe().await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    // The log comes through a pipe, and may be read later than the answer.
    let start = Instant::now();
    while !server.log().contains("\"cause\"") && start.elapsed() < DEADLINE {
        server.forgets().await;
    }
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("\"cause\"")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains(id) && lines[0].contains("unreachable"),
        "{id} is not in {log}"
    );
    assert!(!log.contains("hostile-secret"), "{log}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_unreachable() {
    let server = probed("postgresql+asyncpg://hostile-user@/hostile_database?host=/nonexistent/pgsocket");
    server.fails("unreachable").await;
}

#[tokio::test]
async fn a_wrong_password_a_missing_user_and_a_missing_database_have_different_reasons() {
    let postgres = Postgres::start(&[]);
    execute(&postgres.url(), "CREATE ROLE \"hostile-user\" LOGIN PASSWORD 'right'").await;
    let url = |user: &str, password: &str, database: &str| {
        format!(
            "postgresql://{user}:{password}@127.0.0.1:{}/{database}",
            postgres.port()
        )
    };
    let wrong_password = probed(&url("hostile-user", "hostile-secret", "postgres"));
    wrong_password.fails("auth_failed").await;
    let nobody = probed(&url("hostile-nobody", "hostile-secret", "postgres"));
    nobody.fails("auth_failed").await;
    let nowhere = probed(&url("hostile-user", "right", "hostile_database"));
    nowhere.fails("misconfigured").await;
    execute(&postgres.url(), "ALTER ROLE \"hostile-user\" PASSWORD 'hostile-secret'").await;
    wrong_password.forgets().await;
    wrong_password.fails("schema_behind").await;
}

#[tokio::test]
async fn a_server_without_tls_that_must_have_it_is_tls_failed() {
    let port = Postgres::shared().port();
    let url = format!("postgresql://hostile-user:x@127.0.0.1:{port}/postgres?ssl=require");
    probed(&url).fails("tls_failed").await;
}

#[tokio::test]
async fn a_server_without_a_slot_left_has_too_many_connections_and_recovers() {
    let postgres = Postgres::start(&["max_connections=5", "superuser_reserved_connections=0"]);
    let url = postgres.migrated_database().await;
    // The session that has made the database takes a moment to end.
    let hold = async || loop {
        match PgConnection::connect(&url).await {
            Ok(holder) => return holder,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let holders = futures_util::future::join_all([(); 5].map(|()| hold())).await;
    let server = probed(&url);
    server.fails("too_many_connections").await;
    drop(holders);
    server.recovers().await;
}

#[tokio::test]
async fn an_empty_database_is_behind_and_healthy_once_it_is_migrated() {
    let url = Postgres::shared().empty_database().await;
    let server = probed(&url);
    let report = server.probe().await.json();
    assert_eq!(report["reason"], "schema_behind");
    assert_eq!(report["schema"], json!({"current": 0, "expected": newest_migration()}));
    migrate(&url).await;
    server.forgets().await;
    server.recovers().await;
}

#[tokio::test]
async fn a_dirty_a_drifted_and_an_ahead_schema_have_different_reasons() {
    const FUTURE: &str = "INSERT INTO _sqlx_migrations VALUES (9999, 'future', now(), true, '', 1)";
    for (sql, status, reason) in [
        ("UPDATE _sqlx_migrations SET success = false", 503, "schema_dirty"),
        ("UPDATE _sqlx_migrations SET checksum = 'x'", 503, "schema_drift"),
        ("DELETE FROM _sqlx_migrations", 503, "schema_behind"),
        (FUTURE, 200, "schema_ahead"),
    ] {
        let url = Postgres::shared().migrated_database().await;
        execute(&url, sql).await;
        let answer = probed(&url).probe().await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["reason"]),
            (status, &json!(reason))
        );
    }
}

#[tokio::test]
async fn a_thousand_probes_at_once_cause_two_queries_a_second_at_most() {
    testing::raise_file_limit();
    // A vacuum would count, too.
    let postgres = Postgres::start(&["autovacuum=off"]);
    let url = postgres.migrated_database().await;
    let server = Binary::new(env!("CARGO_BIN_EXE_health-db"))
        .with("DATABASE_URL", &url)
        .serve();
    // A session flushes its counters with some delay; this database has no other clients than the probes.
    let transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let client = Client::http1();
    let target = format!("{}/health/db", server.url);
    assert_eq!(client.get(&target).await.status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = scalar(&url, transactions).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let probes = (0..1000).map(|_| client.get(&target));
        for answer in futures_util::future::join_all(probes).await {
            assert_eq!(answer.status, 200);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(server);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One for the reading itself.
    let queries = scalar(&url, transactions).await - before - 1;
    assert!(queries >= 2, "the probes were not counted: {queries}");
    assert!(queries as f64 <= 2.0 * seconds.ceil(), "{queries} in {seconds} s");
}

#[tokio::test]
async fn ten_thousand_probes_leave_no_memory_and_no_socket_behind() {
    let url = Postgres::shared().migrated_database().await;
    let server = probed(&url);
    let client = Client::http1();
    let target = server.target();
    let storm = async |rounds| {
        for _ in 0..rounds {
            futures_util::future::join_all((0..100).map(|_| client.get(&target))).await;
        }
    };
    // A first storm of the same size lets the allocator reach its working set.
    storm(100).await;
    let (memory, sockets) = (server.resident_kib(), server.sockets());
    storm(100).await;
    let grown = server.grown_kib(memory);
    assert!(grown < 512, "{grown} KiB");
    // The client decides how many it keeps open.
    assert!(server.sockets() <= sockets + 200, "{} of {sockets}", server.sockets());
}

#[tokio::test]
async fn a_role_without_a_connection_left_has_too_many_connections_and_recovers() {
    let postgres = Postgres::start(&[]);
    execute(
        &postgres.url(),
        "CREATE ROLE \"hostile-user\" LOGIN PASSWORD 'hostile-secret' CONNECTION LIMIT 1",
    )
    .await;
    let url = format!(
        "postgresql://hostile-user:hostile-secret@127.0.0.1:{}/postgres",
        postgres.port()
    );
    let holder = PgConnection::connect(&url).await.unwrap();
    let taken = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hostile-user'";
    let server = probed(&url);
    server.fails("too_many_connections").await;
    drop(holder);
    while scalar(&postgres.url(), taken).await > 0 {}
    server.forgets().await;
    server.fails("schema_behind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_during_a_storm_of_probes_is_reported_in_time_and_over_at_once() {
    let mut postgres = Postgres::start(&[]);
    let server = probed(&postgres.migrated_database().await);
    server.recovers().await;
    let stop = Arc::new(AtomicBool::new(false));
    let target = server.target();
    let storm = (0..20).map(|_| {
        let (client, target, stop) = (Client::http1(), target.clone(), stop.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = client.get(&target).await;
                assert!(start.elapsed() < 2 * DEADLINE, "took {:?}", start.elapsed());
                seen.push(answer.json()["reason"].as_str().unwrap_or("healthy").to_owned());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            seen
        })
    });
    let storm: Vec<_> = storm.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    postgres.signal("KILL");
    tokio::time::sleep(Duration::from_millis(500)).await;
    postgres.restart();
    server.recovers().await;
    // Those that were begun before have ended.
    tokio::time::sleep(2 * DEADLINE).await;
    stop.store(true, Ordering::Relaxed);
    let mut seen: Vec<String> = Vec::new();
    for prober in storm {
        seen.extend(prober.await.unwrap());
    }
    let last = seen.last().cloned();
    seen.sort();
    seen.dedup();
    let expected = ["healthy", "timeout", "unreachable"];
    assert!(
        seen.iter().all(|reason| expected.contains(&reason.as_str())),
        "{seen:?}"
    );
    assert!(
        seen.len() > 1 && last.as_deref() == Some("healthy"),
        "{seen:?} {last:?}"
    );
}
