//! A run that ends early: by a signal, or by the deadline of Lambda. The statement is cancelled in the server, and the report
//! says what is left.

use crate::folder::{Folder, INDEX, TABLE, database, role, writing};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use testing::{FakeRuntimeApi, Process, database_of, execute, loopback, scalar};

const SLEEP: &str = "SELECT pg_sleep(60)";

/// The sessions of migrators at this database.
async fn sessions(url: &str) -> i64 {
    scalar(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'migrate'",
    )
    .await
}

async fn until(url: &str, condition: &str) {
    let start = Instant::now();
    while scalar(url, &format!("SELECT count(*) FROM {condition}")).await == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {condition}");
    }
}

/// Sends a signal, and returns the report. The end is soon, and nothing goes on in the server.
async fn stopped(mut migrator: Process, signal: &str, url: &str) -> Value {
    let start = Instant::now();
    migrator.signal(signal);
    assert_eq!(
        migrator.exit_code(Duration::from_secs(10)),
        Some(1),
        "{}",
        migrator.log()
    );
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    while sessions(url).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "a session goes on");
    }
    let report = migrator.wait_for_line("\"status\":\"failed\"");
    serde_json::from_str(&report).unwrap()
}

fn says(report: &Value, reason: &str, texts: &[&str]) {
    assert_eq!(report["reason"], reason, "{report}");
    for text in texts {
        assert!(
            report["detail"].as_str().unwrap().contains(text),
            "{text} is not in {report}"
        );
    }
}

#[tokio::test]
async fn a_signal_cancels_the_statement_and_the_report_says_what_is_left() {
    for (signal, sql, left) in [
        ("TERM", format!("CREATE TABLE half (); {SLEEP}"), "rolled back whole"),
        ("INT", format!("CREATE TABLE half (); {SLEEP}"), "rolled back whole"),
        ("TERM", format!("-- no-transaction\n{SLEEP}"), "left nothing behind"),
    ] {
        let (folder, url) = (Folder::with(&TABLE), database().await);
        folder.add(&[
            ("0002_slow.up.sql", &sql),
            ("0003_next.up.sql", "CREATE TABLE next ();"),
        ]);
        let migrator = folder
            .migrate(&url)
            .with("CLOUD_RUN_JOB", "migrate")
            .start("\"running\"");
        until(
            &url,
            "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
        )
        .await;
        let report = stopped(migrator, signal, &url).await;
        says(&report, "stopped", &["a signal", "0002_slow.up.sql", left]);
        let tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('half', 'next')";
        assert_eq!(scalar(&url, tables).await, 0);
        assert_eq!(
            folder.ok(&url, "status")["schema"],
            json!({"current": 1, "expected": 3})
        );
    }
}

#[tokio::test]
async fn a_signal_to_a_role_with_one_connection_ends_the_statement_with_it() {
    let url = database().await;
    let limited = role(&url, "with_one_to_stop", "CONNECTION LIMIT 1").await;
    let name = database_of(&url);
    execute(&url, &format!("ALTER DATABASE {name} OWNER TO with_one_to_stop")).await;
    let folder = Folder::with(&TABLE);
    folder.add(&[("0002_slow.up.sql", &format!("CREATE TABLE half (); {SLEEP}"))]);
    let migrator = folder
        .migrate(&limited)
        .with("CLOUD_RUN_JOB", "migrate")
        .start("0002_slow");
    until(
        &url,
        "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    )
    .await;
    let report = stopped(migrator, "TERM", &url).await;
    says(&report, "stopped", &["a signal", "the next run finds out"]);
    assert_eq!(folder.ok(&limited, "status")["schema"]["current"], 1);
}

#[tokio::test]
async fn a_signal_during_a_concurrent_index_leaves_a_dirty_file_with_the_way_out() {
    let (folder, url) = (Folder::with(&[TABLE, INDEX].concat()), database().await);
    folder.ok(&url, "up --to 1");
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let open = writing(&mut reader).await;
    let migrator = folder
        .migrate(&url)
        .with("CLOUD_RUN_JOB", "migrate")
        .start("\"running\"");
    until(&url, "pg_index WHERE NOT indisvalid").await;
    let report = stopped(migrator, "TERM", &url).await;
    says(
        &report,
        "schema_dirty",
        &[
            "a signal",
            "0002_names.up.sql",
            "DROP INDEX CONCURRENTLY public.cases_by_name",
        ],
    );
    open.rollback().await.unwrap();
}

#[tokio::test]
async fn a_signal_ends_what_waits_for_another_for_a_lock_and_for_an_answer() {
    let (folder, url) = (Folder::with(&[TABLE, INDEX].concat()), database().await);
    folder.ok(&url, "up --to 1");
    let slow = Folder::with(&TABLE);
    slow.add(&[("0002_slow.up.sql", SLEEP)]);
    let other = slow.migrate(&url).start("\"running\"");
    let mut waits = folder
        .migrate(&url)
        .with("CLOUD_RUN_JOB", "migrate")
        .start("waiting for it");
    waits.signal("TERM");
    assert_eq!(waits.exit_code(Duration::from_secs(3)), Some(1));
    drop(other);
    // `status` waits for a table.
    let mut holder = PgConnection::connect(&url).await.unwrap();
    let mut open = holder.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE _sqlx_migrations")
        .execute(&mut *open)
        .await
        .unwrap();
    let mut status = folder.migrate(&url).start_run(&["status", "--json"]);
    until(
        &url,
        "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    )
    .await;
    testing::signal(status.id(), "TERM");
    assert_eq!(status.wait().unwrap().code(), Some(1));
    let start = Instant::now();
    while sessions(&url).await > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the session of `status` waits on"
        );
    }
    // A server that takes the connection and says nothing.
    let (listener, silent) = loopback().await;
    let silent = format!("postgresql://u@{}/d", silent.trim_start_matches("http://"));
    let connecting = folder.migrate(&silent).start_run(&["up", "--json"]);
    let _connection = listener.accept().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    testing::signal(connecting.id(), "TERM");
    let output = connecting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"stopped\""));
}

/// Invokes `up` with little time, and returns its log. The answer must arrive before the deadline.
async fn out_of_time(folder: &Folder, url: &str, settings: &[(&str, &str)]) -> String {
    const TIME: Duration = Duration::from_secs(3);
    let api = FakeRuntimeApi::start().await;
    let function = settings
        .iter()
        .fold(folder.migrate(url), |function, (key, value)| function.with(key, *value));
    let mut lambda = function.on_lambda(&api);
    let start = Instant::now();
    let mut posted = tokio::time::timeout(TIME, api.invoke(&json!({}), TIME))
        .await
        .expect("an answer in time");
    let body: Value = serde_json::from_slice(&posted.rest().await).unwrap();
    assert!(start.elapsed() < TIME, "{:?}", start.elapsed());
    assert_eq!((posted.error, &body["errorType"]), (true, &json!("JobFailed")));
    lambda.wait_for_line("stopped by the platform's deadline");
    lambda.log()
}

#[tokio::test]
async fn on_lambda_many_files_end_before_the_platform_does_and_the_next_run_goes_on() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    for version in 2..20 {
        let name = format!("{version:04}_slow.up.sql");
        folder.add(&[(&name, "SELECT pg_sleep(0.4); SELECT pg_sleep(0.4)")]);
    }
    let reached = async || scalar(&url, "SELECT max(version) FROM _sqlx_migrations WHERE success").await;
    out_of_time(&folder, &url, &[]).await;
    let first = reached().await;
    assert!(first >= 2, "{first}");
    assert_eq!(sessions(&url).await, 0);
    assert_eq!(
        folder.health(&url).await,
        Ok(Some(shared::database::Reason::SchemaBehind))
    );
    out_of_time(&folder, &url, &[]).await;
    assert!(reached().await > first);
}

#[tokio::test]
async fn on_lambda_one_long_statement_and_many_attempts_end_before_the_platform_does() {
    let (folder, url) = (Folder::with(&TABLE), database().await);
    folder.ok(&url, "up");
    folder.add(&[("0002_slow.up.sql", "SET statement_timeout = 0; SELECT pg_sleep(60)")]);
    out_of_time(&folder, &url, &[]).await;
    folder.add(&[("0002_slow.up.sql", "ALTER TABLE cases ADD COLUMN closed int")]);
    let mut holder = PgConnection::connect(&url).await.unwrap();
    let mut open = holder.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE cases").execute(&mut *open).await.unwrap();
    let log = out_of_time(&folder, &url, &[("MIGRATE_LOCK_TIMEOUT", "200ms")]).await;
    assert!(log.contains("trying again"), "{log}");
    assert_eq!(sessions(&url).await, 0);
}

#[tokio::test]
async fn on_lambda_waiting_for_another_and_for_a_connection_end_before_the_platform_does() {
    let (folder, url) = (Folder::with(&[("0001_slow.up.sql", SLEEP)]), database().await);
    let _other = folder.migrate(&url).start("\"running\"");
    let log = out_of_time(&folder, &url, &[("MIGRATE_WAIT", "10m")]).await;
    assert!(log.contains("waiting for it"), "{log}");
    let (_listener, silent) = loopback().await;
    let silent = format!("postgresql://u@{}/d", silent.trim_start_matches("http://"));
    out_of_time(&folder, &silent, &[]).await;
}
