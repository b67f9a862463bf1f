//! `local` as a newcomer starts it: nothing configured, a folder of its own, the real binary.

use crate::{
    checkout::services,
    newcomer::{Checkout, REPORT, STREAM, paths, started},
};
use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};
use testing::{Binary, Client, Postgres, Process};

async fn assert_healthy(server: &Process) {
    for path in paths(REPORT) {
        let answer = Client::http1().get(&format!("{}{path}", server.url)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.transcript());
        assert_eq!(answer.json()["status"], "healthy");
    }
    for path in paths(STREAM) {
        let url = format!("{}{path}", server.url);
        assert_eq!(Client::http1().open(hyper::Method::GET, &url, &[]).await.status(), 200);
    }
    let page = Client::http1().get(&server.url).await;
    assert!(
        page.transcript()
            .contains(&format!("<title>{}</title>", local::bundle::title()))
    );
}

/// The processes that hold the folder in their command line: the server of that checkout and its supervisor.
fn processes_of(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let named = commands.filter(|command| String::from_utf8_lossy(command).contains(folder.to_str().unwrap()));
    named.count()
}

fn assert_nothing_left(checkout: &Checkout) {
    let start = Instant::now();
    while processes_of(&checkout.0) > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "processes are left behind");
    }
}

#[tokio::test]
async fn with_nothing_configured_every_route_is_healthy_and_no_signal_leaves_a_process_behind() {
    let checkout = Checkout::new("signals");
    for (signal, code) in [("INT", Some(0)), ("TERM", Some(0)), ("KILL", None)] {
        let mut server = checkout.start();
        assert_healthy(&server).await;
        assert!(processes_of(&checkout.0) >= 2);
        server.signal(signal);
        assert_eq!(server.exit_code(Duration::from_secs(10)), code, "{signal}");
        assert_nothing_left(&checkout);
    }
}

#[tokio::test]
async fn variables_and_passwords_of_another_server_do_not_reach_the_private_one() {
    let (checkout, home) = (Checkout::new("libpq"), tempfile::tempdir().unwrap());
    // A file that never ends to be read.
    let fifo = std::process::Command::new("mkfifo")
        .arg(home.path().join(".pgpass"))
        .status();
    assert!(fifo.unwrap().success());
    let local = checkout.local();
    let local = local
        .with("PGPORT", "1")
        .with("PGHOST", "192.0.2.1")
        .with("PGOPTIONS", "-c no_such=setting");
    let server = started(&local.with("HOME", home.path().to_str().unwrap()));
    assert_healthy(&server).await;
    drop(server);
    assert_nothing_left(&checkout);
}

#[test]
fn a_bad_setting_that_several_functions_read_is_named_once() {
    let reading = ["health-db", "health-storage"].map(str::to_owned);
    if services().is_disjoint(&BTreeSet::from(reading)) {
        return;
    }
    let checkout = Checkout::new("twice");
    let refused = checkout.local().with("HEALTH_TIMEOUT", "soon").run(&[]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{message}");
    assert_eq!(message.matches("HEALTH_TIMEOUT").count(), 1, "{message}");
    assert!(!checkout.0.join(".local").exists());
}

#[tokio::test]
async fn a_checkout_may_lie_in_a_folder_of_any_name() {
    let checkout = Checkout::new("a b%20#c?d&e=ä");
    let server = checkout.start();
    assert_healthy(&server).await;
    assert!(checkout.0.join(".local/storage").is_dir());
    drop(server);
    assert_nothing_left(&checkout);
}

#[test]
fn a_signal_while_it_starts_ends_it_with_a_sentence_and_leaves_no_process_behind() {
    let checkout = Checkout::new("starting");
    for name in ["TERM", "INT"] {
        let start = Instant::now();
        let local = checkout.local().start_run(&[]);
        while processes_of(&checkout.0.join(".local")) == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "no server is being made");
        }
        testing::signal(local.id(), name);
        let start = Instant::now();
        let output = local.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("local: stopped by a signal"), "{said}");
        assert_nothing_left(&checkout);
    }
}

#[tokio::test]
async fn a_second_start_finds_the_same_data() {
    let checkout = Checkout::new("data");
    let database = |server: &Process| {
        let log = server.log();
        let url = log.split("psql '").nth(1).and_then(|rest| rest.split('\'').next());
        url.expect("it prints how to look into the database").to_owned()
    };
    let mut first = checkout.start();
    testing::execute(&database(&first), "CREATE TABLE kept AS SELECT 1 AS one").await;
    std::fs::write(checkout.0.join(".local/storage/kept"), "kept").unwrap();
    first.signal("TERM");
    first.exit_code(Duration::from_secs(10));
    let second = checkout.start();
    assert_eq!(
        testing::scalar(&database(&second), "SELECT count(*) FROM kept").await,
        1
    );
    assert!(checkout.0.join(".local/storage/kept").exists());
    drop(second);
    assert_nothing_left(&checkout);
}

#[tokio::test]
async fn a_database_and_a_bucket_that_are_named_are_used() {
    let checkout = Checkout::new("named");
    let url = Postgres::shared().empty_database().await;
    let server = started(
        &checkout
            .local()
            .with("DATABASE_URL", &url)
            .with("STORAGE_URL", "memory:"),
    );
    assert_healthy(&server).await;
    assert_eq!(
        testing::scalar(&url, "SELECT max(version) FROM _sqlx_migrations").await,
        testing::newest_migration()
    );
    let entries = std::fs::read_dir(checkout.0.join(".local")).unwrap().flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["issuer.pk8"], "neither a database nor a bucket");
}

#[test]
fn a_password_file_that_others_may_read_is_warned_of_once() {
    let (checkout, home) = (Checkout::new("pgpass"), tempfile::tempdir().unwrap());
    std::fs::write(home.path().join(".pgpass"), "*:*:*:*:hostile-secret").unwrap();
    let local = checkout.local().with("HOME", home.path().to_str().unwrap());
    let refused = local
        .with("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/postgres")
        .run(&[]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(message.matches("the password file is not used").count(), 1, "{message}");
}

fn sentence_of(function: &Binary) -> String {
    let refused = function.run(&[]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    let sentence = message.lines().find_map(|line| line.strip_prefix("local: "));
    sentence.unwrap_or_else(|| panic!("no sentence: {message}")).to_owned()
}

#[test]
fn a_port_in_use_is_one_clear_sentence() {
    let checkout = Checkout::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let sentence = sentence_of(&checkout.local().with("PORT", &port));
    assert!(sentence.contains(&port) && sentence.contains("in use"), "{sentence}");
    assert_nothing_left(&checkout);
}

#[test]
fn a_database_that_refuses_is_one_clear_sentence_without_its_password() {
    let checkout = Checkout::new("refuses");
    let port = Postgres::shared().port();
    for (url, reason) in [
        (
            format!("postgresql://nobody:hostile-secret@127.0.0.1:{port}/postgres"),
            "auth_failed",
        ),
        (
            "postgresql://nobody:hostile-secret@127.0.0.1:1/postgres".to_owned(),
            "unreachable",
        ),
        ("mysql://nobody:hostile-secret@127.0.0.1/x".to_owned(), "misconfigured"),
    ] {
        let sentence = sentence_of(&checkout.local().with("DATABASE_URL", url));
        assert!(
            sentence.contains(reason) && !sentence.contains("hostile-secret"),
            "{sentence}"
        );
    }
}

#[test]
fn an_invalid_setting_exits_with_78() {
    let checkout = Checkout::new("settings");
    let refused = checkout
        .local()
        .with("MIGRATE_WAIT", "forever")
        .with("MIGRATE_LOCK_TIMEOUT", "x")
        .run(&[]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(78), "{message}");
    assert!(
        message.contains("MIGRATE_WAIT") && message.contains("MIGRATE_LOCK_TIMEOUT"),
        "{message}"
    );
}

#[test]
fn a_setting_that_is_not_utf_8_exits_with_78_and_is_named_and_nothing_is_printed() {
    let checkout = Checkout::new("utf-8");
    let refused = |key: &str, command: &str| {
        let script = format!("{key}=\"$(printf 'hunter2\\377')\" exec \"$0\" {command}");
        let output = checkout.local().under(&["sh", "-c", &script]).run(&[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{key}: {message}");
        let named = format!("{key} must be UTF-8");
        assert_eq!(message.matches(&named).count(), 1, "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        assert!(output.stdout.is_empty(), "{key}: {:?}", output.stdout);
    };
    for key in [
        "TOKEN_ISSUERS",
        "TOKEN_COOKIE",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "STORAGE_URL",
        "PORT",
    ] {
        refused(key, "serve");
    }
    assert!(!checkout.0.join(".local").exists());
    refused("TOKEN_ISSUERS", "token --settings");
}

#[tokio::test]
async fn a_bad_setting_of_the_bucket_is_reported_by_its_health_and_keeps_nothing_from_starting() {
    let checkout = Checkout::new("bucket");
    let server = started(&checkout.local().with("STORAGE_TIMEOUT", "abc"));
    for path in paths(REPORT) {
        let answer = Client::http1().get(&format!("{}{path}", server.url)).await;
        let (status, report) = (answer.status.as_u16(), answer.json());
        match report.get("storage") {
            Some(_) => assert_eq!((status, &report["reason"]), (503, &"misconfigured".into())),
            None => assert_eq!(status, 200, "{path}"),
        }
    }
}
