//! `reset` and `migrate`: the private database and the private bucket, and no others.

use crate::newcomer::{Checkout, started};
use std::{
    fs,
    os::unix::fs::{chown, symlink},
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};
use testing::{Postgres, Process, execute, scalar};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that must fail, and returns its sentence.
fn refused(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let sentence = said.lines().find_map(|line| line.strip_prefix("local: "));
    sentence.unwrap_or_else(|| panic!("no sentence: {said}")).to_owned()
}

/// Runs a command that must succeed, and returns its output.
fn done(checkout: &Checkout, arguments: &[&str]) -> String {
    let output = checkout.local().run(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    stdout(&output)
}

/// The URL of the private database.
fn database(server: &Process) -> String {
    let log = server.log();
    let url = log.split("psql '").nth(1).and_then(|rest| rest.split('\'').next());
    url.expect("it prints how to look into the database").to_owned()
}

fn end(mut server: Process, signal: &str) {
    server.signal(signal);
    server.exit_code(Duration::from_secs(20));
}

/// A table and an object.
async fn fill(checkout: &Checkout, server: &Process) -> PathBuf {
    execute(&database(server), "CREATE TABLE mine AS SELECT 1 AS one").await;
    let object = checkout.0.join(".local/storage/objects/cases/object");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(&object, "mine").unwrap();
    object
}

const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'";

#[tokio::test]
async fn it_refuses_while_local_runs_and_then_empties_the_database_and_the_bucket() {
    let checkout = Checkout::new("reset");
    for signal in ["TERM", "KILL"] {
        let server = checkout.start();
        let object = fill(&checkout, &server).await;
        let sentence = refused(&checkout, &["reset"]);
        assert!(sentence.contains("is running"), "{sentence}");
        assert_eq!(scalar(&database(&server), TABLES).await, 1);
        assert!(object.exists());
        end(server, signal);
        let deleted = done(&checkout, &["reset"]);
        let local = checkout.0.join(".local");
        let local = local.display();
        assert!(
            deleted.contains(&format!("deleted the database in {local}/postgres/data-")),
            "{deleted}"
        );
        assert!(
            deleted.contains(&format!("deleted the bucket in {local}/storage: 1 object")),
            "{deleted}"
        );
        assert!(!object.exists());
        let server = checkout.start();
        assert_eq!(scalar(&database(&server), TABLES).await, 0);
        end(server, "TERM");
    }
    done(&checkout, &["reset"]);
    assert_eq!(done(&checkout, &["reset"]), "nothing to delete\n");
}

#[tokio::test]
async fn it_refuses_while_only_the_bucket_or_only_the_database_is_used() {
    let checkout = Checkout::new("reset-half");
    let url = Postgres::shared().empty_database().await;
    for (name, value) in [("DATABASE_URL", url.as_str()), ("STORAGE_URL", "memory:")] {
        let server = started(&checkout.local().with(name, value));
        let sentence = refused(&checkout, &["reset"]);
        assert!(sentence.contains("is running"), "with {name}: {sentence}");
        end(server, "TERM");
    }
}

#[tokio::test]
async fn a_database_and_a_bucket_that_the_environment_names_are_left_as_they_are() {
    let (checkout, bucket) = (Checkout::new("reset-others"), tempfile::tempdir().unwrap());
    let url = Postgres::shared().empty_database().await;
    execute(&url, "CREATE TABLE mine AS SELECT 1 AS one").await;
    let object = bucket.path().join("objects/object");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(&object, "mine").unwrap();
    let storage = format!("file://{}", bucket.path().display());
    let local = checkout.local().with("DATABASE_URL", &url).with("STORAGE_URL", storage);
    let output = local.run(&["reset"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "nothing to delete\n")
    );
    assert_eq!(scalar(&url, TABLES).await, 1);
    assert!(object.exists() && !checkout.0.join(".local").exists());
}

/// A folder with a file, for links to lead to.
fn elsewhere(checkout: &Checkout) -> (PathBuf, PathBuf) {
    let folder = checkout.0.join("elsewhere");
    fs::create_dir_all(folder.join("objects")).unwrap();
    let file = folder.join("objects/file");
    fs::write(&file, "mine").unwrap();
    (folder, file)
}

/// Moves a folder away and puts a link to `target` in its place.
fn replace(folder: &Path, target: &Path) {
    fs::rename(folder, folder.with_extension("away")).unwrap();
    symlink(target, folder).unwrap();
}

#[tokio::test]
async fn it_deletes_nothing_behind_a_link() {
    for linked in [".local/storage", ".local"] {
        let checkout = Checkout::new(&format!("reset-link{}", linked.len()));
        let server = checkout.start();
        let object = fill(&checkout, &server).await;
        end(server, "TERM");
        let (folder, file) = elsewhere(&checkout);
        replace(&checkout.0.join(linked), &folder);
        let sentence = refused(&checkout, &["reset"]);
        assert!(sentence.contains(linked) && sentence.contains("a link"), "{sentence}");
        assert!(file.exists());
        fs::remove_file(checkout.0.join(linked)).unwrap();
        fs::rename(checkout.0.join(linked).with_extension("away"), checkout.0.join(linked)).unwrap();
        assert!(object.exists());
        let server = checkout.start();
        assert_eq!(scalar(&database(&server), TABLES).await, 1, "it deletes all or nothing");
    }
}

#[test]
fn links_inside_of_the_bucket_are_deleted_and_not_followed() {
    let checkout = Checkout::new("reset-links");
    let (folder, file) = elsewhere(&checkout);
    let storage = checkout.0.join(".local/storage");
    fs::create_dir_all(storage.join(".pilotlight/uploads")).unwrap();
    symlink(&folder, storage.join("objects")).unwrap();
    symlink(&folder, storage.join(".pilotlight/uploads/link")).unwrap();
    fs::write(storage.join("notes.txt"), "not the bucket's").unwrap();
    done(&checkout, &["reset"]);
    assert!(file.exists() && storage.join("notes.txt").exists());
    assert!(fs::symlink_metadata(storage.join("objects")).is_err());
    assert!(!storage.join(".pilotlight").exists());
}

#[test]
fn data_behind_a_link_are_not_deleted() {
    let checkout = Checkout::new("reset-data");
    drop(checkout.start());
    let (folder, file) = elsewhere(&checkout);
    symlink(&folder, checkout.0.join(".local/postgres/data-1")).unwrap();
    let sentence = refused(&checkout, &["reset"]);
    assert!(sentence.contains("data-1"), "{sentence}");
    assert!(file.exists());
    let entries = fs::read_dir(checkout.0.join(".local/postgres")).unwrap().flatten();
    assert!(
        entries
            .map(|entry| entry.path())
            .any(|path| path.join("PG_VERSION").exists())
    );
}

#[test]
#[ignore = "needs root; .ci/run runs it"]
fn as_root_it_deletes_nothing_of_another_user() {
    for taken in [".local", ".local/storage", ".local/postgres"] {
        let checkout = Checkout::new("reset-other");
        drop(checkout.start());
        let object = checkout.0.join(".local/storage/objects/object");
        fs::create_dir(object.parent().unwrap()).unwrap();
        fs::write(&object, "theirs").unwrap();
        chown(checkout.0.join(taken), Some(54321), Some(54321)).unwrap();
        let sentence = refused(&checkout, &["reset"]);
        assert!(
            sentence.contains(taken) && sentence.contains("belongs to"),
            "{sentence}"
        );
        assert!(object.exists());
    }
}

#[tokio::test]
async fn a_job_runs_on_the_migrated_private_database_while_local_runs_and_while_it_does_not() {
    let checkout = Checkout::new("job");
    let newest = testing::newest_migration();
    let migrated = format!("version {newest} of {newest}");
    let status = done(&checkout, &["job", "migrate", "status"]);
    assert!(status.contains(&migrated), "{status}");
    assert!(checkout.0.join(".local/storage").is_dir());
    let server = checkout.start();
    let status = done(&checkout, &["job", "migrate", "status"]);
    assert!(status.contains(&migrated), "{status}");
    end(server, "TERM");
    let sentence = {
        let refused = checkout.local().with("MIGRATE_WAIT", "soon").run(&["job", "migrate"]);
        assert_eq!(refused.status.code(), Some(78));
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    assert!(sentence.contains("MIGRATE_WAIT must be"), "{sentence}");
}

#[tokio::test]
async fn migrate_reaches_the_private_database_while_local_runs_and_while_it_does_not() {
    let checkout = Checkout::new("migrate");
    let newest = testing::newest_migration();
    let migrated = done(&checkout, &["migrate", "up"]);
    assert!(
        migrated.contains(&format!("migrated from version 0 to {newest}")),
        "{migrated}"
    );
    let server = checkout.start();
    let reverted = done(&checkout, &["migrate", "down"]);
    assert!(
        reverted.contains(&format!("reverted from version {newest}")),
        "{reverted}"
    );
    let version = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
    assert_eq!(scalar(&database(&server), version).await, newest - 1);
    let plan = done(&checkout, &["migrate", "plan"]);
    assert!(plan.starts_with(&format!("-- {newest:04}")), "{plan}");
    end(server, "TERM");
    let status = done(&checkout, &["migrate", "--json", "status"]);
    assert!(status.contains("\"schema_behind\""), "{status}");
    let output = checkout.local().run(&["migrate", "sideways"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn an_edited_migration_is_refused_with_the_ways_out_and_each_of_them_works() {
    let (checkout, folder) = (Checkout::new("edited"), tempfile::tempdir().unwrap());
    let file = folder.path().join("0001_mine.up.sql");
    let local = checkout.local().with("MIGRATIONS_DIR", folder.path().to_str().unwrap());
    fs::write(&file, "CREATE TABLE mine (one int);").unwrap();
    fs::write(folder.path().join("0001_mine.down.sql"), "DROP TABLE mine;").unwrap();
    end(started(&local), "TERM");
    for (text, way_out) in [
        ("CREATE TABLE mine (two int);", &["migrate", "stamp", "1"][..]),
        ("CREATE TABLE mine (three int);", &["reset"]),
    ] {
        fs::write(&file, text).unwrap();
        let output = local.run(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for named in [
            "local: ",
            "0001_mine.up.sql",
            "`cargo run -- migrate`",
            "`stamp VERSION`",
            "`cargo run -- reset`",
        ] {
            assert!(said.contains(named), "{named}: {said}");
        }
        let output = local.run(way_out);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let server = started(&local);
        assert_eq!(scalar(&database(&server), TABLES).await, 1);
        end(server, "TERM");
    }
}
