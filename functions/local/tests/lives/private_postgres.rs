//! The private Postgres of `local`: any number of processes in one checkout share it, it ends with the last of them, and it
//! starts whatever an earlier start left.

use crate::newcomer::{Checkout, REPORT, paths};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};
use testing::{Client, Process, signal};

async fn assert_healthy(server: &Process) {
    for path in paths(REPORT) {
        let answer = Client::http1().get(&format!("{}{path}", server.url)).await;
        assert_eq!(answer.status, 200, "{}\n{}", answer.transcript(), server.log());
    }
}

/// The numbers of the processes that hold the folder in their command line, with those command lines.
fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let commands = numbers.filter_map(|number: u32| {
        let command = fs::read(format!("/proc/{number}/cmdline")).ok()?;
        Some((number, String::from_utf8_lossy(&command).replace('\0', " ")))
    });
    commands
        .filter(|(_, command)| command.contains(folder.to_str().unwrap()))
        .collect()
}

fn assert_nothing_left(checkout: &Checkout) {
    let start = Instant::now();
    while !processes_of(&checkout.0).is_empty() {
        let left = processes_of(&checkout.0);
        assert!(start.elapsed() < Duration::from_secs(20), "left behind: {left:?}");
        sleep(Duration::from_millis(10));
    }
}

fn end(server: &mut Process, name: &str) {
    server.signal(name);
    server.exit_code(Duration::from_secs(20));
}

#[tokio::test]
async fn the_server_outlives_whoever_started_it_and_ends_with_its_last_user() {
    let checkout = Checkout::new("together");
    for name in ["TERM", "INT", "KILL"] {
        let mut servers: Vec<Process> = (0..3).map(|_| checkout.start()).collect();
        let mut last = servers.pop().unwrap();
        for server in &mut servers {
            end(server, name);
            sleep(Duration::from_millis(300));
            assert!(last.is_running());
            assert_healthy(&last).await;
        }
        // Their places are taken by others.
        let mut another = checkout.start();
        end(&mut last, name);
        assert_healthy(&another).await;
        end(&mut another, name);
        assert_nothing_left(&checkout);
    }
}

#[tokio::test]
async fn whoever_comes_while_the_last_one_goes_has_a_server() {
    let checkout = Checkout::new("comings");
    let mut last = checkout.start();
    for round in 0..8 {
        let name = ["KILL", "TERM"][round % 2];
        let pid = last.pid();
        let leaving = tokio::task::spawn_blocking(move || {
            sleep(Duration::from_millis(5 * round as u64));
            signal(pid, name);
        });
        let next = checkout.start();
        leaving.await.unwrap();
        last.exit_code(Duration::from_secs(20));
        sleep(Duration::from_millis(100));
        assert_healthy(&next).await;
        last = next;
    }
    drop(last);
    assert_nothing_left(&checkout);
}

#[tokio::test]
async fn a_first_start_that_is_killed_at_any_moment_leaves_nothing_and_the_next_one_works() {
    let mut during_initdb = 0;
    for step in 0..13 {
        let checkout = Checkout::new(&format!("killed-{step}"));
        let mut killed = checkout.local().start_run(&[]);
        let initdb_runs = || {
            let mut running = processes_of(&checkout.0).into_iter();
            running.any(|(_, command)| command.contains("initdb -D"))
        };
        if step < 10 {
            sleep(Duration::from_millis(step * 90));
        } else {
            // However fast the machine is.
            let start = Instant::now();
            while !initdb_runs() && start.elapsed() < Duration::from_secs(20) {}
            sleep(Duration::from_millis((step - 10) * 30));
        }
        during_initdb += usize::from(initdb_runs());
        killed.kill().unwrap();
        killed.wait().unwrap();
        let next = checkout.start();
        assert_healthy(&next).await;
        drop(next);
        assert_nothing_left(&checkout);
    }
    assert!(during_initdb > 1, "no kill struck initdb");
}

#[tokio::test]
async fn a_server_whose_supervisor_was_killed_is_replaced() {
    let checkout = Checkout::new("orphan");
    let first = checkout.start();
    let supervisors = || {
        let processes = processes_of(&checkout.0).into_iter();
        processes.filter(|(_, command)| command.contains("postgres-supervisor"))
    };
    assert_eq!(supervisors().count(), 2);
    for (pid, _) in supervisors() {
        signal(pid, "KILL");
    }
    drop(first);
    assert!(!processes_of(&checkout.0).is_empty(), "the server lives on");
    let next = checkout.start();
    assert_healthy(&next).await;
    drop(next);
    assert_nothing_left(&checkout);
}

/// The folder of the server's data.
fn data(checkout: &Checkout) -> PathBuf {
    let entries = fs::read_dir(checkout.0.join(".local/postgres")).unwrap().flatten();
    let mut data = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("PG_VERSION").exists());
    data.next().unwrap()
}

#[tokio::test]
async fn a_lock_file_with_the_id_of_another_process_does_not_prevent_a_start() {
    let checkout = Checkout::new("number");
    drop(checkout.start());
    assert_nothing_left(&checkout);
    let data = data(&checkout);
    let owner = fs::metadata(&data).unwrap();
    // A process of the same user, because Postgres ignores those of others.
    let (user, group) = (owner.uid().to_string(), owner.gid().to_string());
    let mut other = match user.as_str() {
        "0" => panic!("the server does not run as root"),
        _ if is_root() => Command::new("setpriv")
            .args(["--reuid", &user, "--regid", &group, "--clear-groups", "sleep", "60"])
            .spawn()
            .unwrap(),
        _ => Command::new("sleep").arg("60").spawn().unwrap(),
    };
    let lock = format!("{}\n{}\n0\n5432\n/nowhere\n\n0 0\nready\n", other.id(), data.display());
    fs::write(data.join("postmaster.pid"), lock).unwrap();
    chown(data.join("postmaster.pid"), Some(owner.uid()), Some(owner.gid())).unwrap();
    let next = checkout.start();
    assert_healthy(&next).await;
    assert!(
        other.try_wait().unwrap().is_none(),
        "and does not end the other process"
    );
    other.kill().unwrap();
    other.wait().unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Below `folder`, what belongs to root and everything above it up to `folder`.
fn of_root(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        if metadata.uid() == 0 {
            found.push(entry.path());
        }
        if metadata.is_dir() {
            of_root(&entry.path(), found);
        }
    }
}

#[tokio::test]
#[ignore = "needs root; .ci/run runs it"]
async fn as_root_nothing_that_root_writes_lies_where_the_servers_user_can_put_a_link() {
    let checkout = Checkout::new("links");
    drop(checkout.start());
    assert_nothing_left(&checkout);
    let postgres = checkout.0.join(".local/postgres");
    let user = fs::metadata(&postgres).unwrap().uid();
    assert_ne!(user, 0);
    let mut found = Vec::new();
    of_root(&checkout.0, &mut found);
    assert!(found.len() > 3, "{found:?}");
    for path in &found {
        let folder = fs::metadata(path.parent().unwrap()).unwrap();
        assert!(
            folder.uid() == 0 && folder.mode() & 0o022 == 0,
            "{} can be replaced",
            path.display()
        );
    }
    // Links that the server's user can create, in every place where a file of the server is created or read.
    let target = checkout.0.join("target");
    fs::write(&target, "untouched").unwrap();
    let number = data(&checkout).file_name().unwrap().to_str().unwrap().to_owned();
    let new = format!("{number}.new.1");
    for name in [
        "start.lock",
        "fetch.lock",
        "users",
        "used.lock",
        "joined",
        "fetched",
        &new,
    ] {
        let _ = fs::remove_file(postgres.join(name));
        symlink(&target, postgres.join(name)).unwrap();
    }
    fs::remove_dir_all(postgres.join("run")).unwrap();
    symlink(checkout.0.join("elsewhere"), postgres.join("run")).unwrap();
    fs::create_dir(checkout.0.join("elsewhere")).unwrap();
    let _ = checkout.local().with("PORT", "not a port").run(&[]);
    let planted = checkout.local().start_run(&[]);
    sleep(Duration::from_secs(2));
    signal(planted.id(), "TERM");
    planted.wait_with_output().unwrap();
    let after = fs::metadata(&target).unwrap();
    assert_eq!(
        (fs::read_to_string(&target).unwrap().as_str(), after.uid()),
        ("untouched", 0)
    );
    assert_eq!(fs::metadata(checkout.0.join("elsewhere")).unwrap().uid(), 0);
}

#[tokio::test]
#[ignore = "needs root; .ci/run runs it"]
async fn as_root_in_a_folder_that_everybody_can_write_to_the_server_stands_elsewhere() {
    let checkout = Checkout::new("open");
    fs::set_permissions(&checkout.0, fs::Permissions::from_mode(0o777)).unwrap();
    let server = checkout.start();
    assert_healthy(&server).await;
    let log = server.log();
    let socket = log
        .split("host=")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap();
    let home = Path::new(socket).parent().unwrap().to_owned();
    assert!(home.starts_with("/var/tmp"), "{socket}");
    assert!(log.contains(&format!("in {}/data-", home.display())), "{log}");
    drop(server);
    let start = Instant::now();
    while Path::new(socket).join(".s.PGSQL.5432").exists() {
        assert!(start.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(10));
    }
    let reset = checkout.local().run(&["reset"]);
    let said = String::from_utf8_lossy(&reset.stdout);
    assert!(
        said.contains(&format!("deleted the database in {}/data-", home.display())),
        "{reset:?}"
    );
    fs::remove_dir_all(&home).unwrap();
    fs::remove_dir_all(format!("{}-control", home.display())).unwrap();
}

#[test]
#[ignore = "needs root; .ci/run runs it"]
fn as_root_a_user_without_a_name_gets_a_sentence_that_says_what_to_do() {
    let checkout = Checkout::new("nameless");
    chown(&checkout.0, Some(54321), Some(54321)).unwrap();
    let nameless = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"];
    let refused = checkout.local().under(&nameless).run(&[]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    let sentence = message.lines().last().unwrap();
    for part in [
        "local: ",
        "user id 54321",
        "dev:x:54321:54321::/tmp:/bin/sh",
        "DATABASE_URL",
    ] {
        assert!(sentence.contains(part), "{message}");
    }
    assert_nothing_left(&checkout);
}
