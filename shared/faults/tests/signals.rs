//! SIGTERM and SIGINT in every life, also as the first process of a container, which has no default action for them.

#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use testing::{Function, signal};

fn health() -> Function {
    Function::new(env!("CARGO_BIN_EXE_faults-health"))
}

/// The exit code of a process that ends soon.
fn ended(process: &mut Child, patience: Duration) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status.code();
        }
        assert!(start.elapsed() < patience, "still running after {patience:?}");
        sleep(Duration::from_millis(5));
    }
}

/// A function whose check never ends.
fn endless_check() -> Function {
    Function::new(env!("CARGO_BIN_EXE_faults-broken"))
}

#[test]
fn a_signal_ends_a_check_with_1_and_one_sentence() {
    for name in ["TERM", "INT"] {
        let mut check = endless_check()
            .with("CLOUD_RUN_JOB", "check")
            .start("the check has begun");
        check.signal(name);
        assert_eq!(check.exit_code(Duration::from_secs(1)), Some(1));
        let line = check.wait_for_line("stopped by a signal");
        assert_eq!(check.log().trim(), format!("the check has begun\n{line}"));
    }
}

#[test]
fn a_report_that_nobody_reads_does_not_keep_a_signal_from_ending_a_check() {
    const CAPACITY: usize = 64 * 1024;
    let (_unread, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b' '; CAPACITY]).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_faults-health"))
        .arg("check")
        .env_clear()
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(300));
    assert!(check.try_wait().unwrap().is_none(), "the pipe had room");
    signal(check.id(), "TERM");
    assert_eq!(ended(&mut check, Duration::from_secs(3)), Some(1));
}

const FIRST_OF_ITS_CONTAINER: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
];

/// The process that `unshare` made the first of its namespace, once it handles SIGTERM, or a while after its start.
fn first_process(unshare: u32) -> u32 {
    let start = Instant::now();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
        if let Ok(child) = children.trim().parse() {
            let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
            let handled = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
            let handles = u64::from_str_radix(handled, 16).unwrap() >> 14 & 1 == 1;
            if handles || start.elapsed() > Duration::from_secs(1) {
                return child;
            }
        }
        sleep(Duration::from_millis(2));
    }
}

#[test]
#[ignore = "needs the right to make namespaces, which .ci/run has as root"]
fn as_the_first_process_of_its_container_a_signal_ends_every_life() {
    let api = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("postgresql://u@{}/d", api.local_addr().unwrap());
    let starting = Function::new(env!("CARGO_BIN_EXE_faults-local"));
    let lives = [
        (health().with("PORT", "0"), 0),
        (
            health().with("AWS_LAMBDA_RUNTIME_API", api.local_addr().unwrap().to_string()),
            0,
        ),
        (endless_check().with("CLOUD_RUN_JOB", "check"), 1),
        (starting.with("PORT", "0").with("DATABASE_URL", silent), 1),
    ];
    for (life, code) in lives {
        for name in ["TERM", "INT"] {
            let mut unshare = life.clone().under(&FIRST_OF_ITS_CONTAINER).start_run(&[]);
            signal(first_process(unshare.id()), name);
            assert_eq!(ended(&mut unshare, Duration::from_secs(2)), Some(code), "{name}");
        }
    }
    let mut control = Function::new("sleep").under(&FIRST_OF_ITS_CONTAINER).start_run(&["60"]);
    let first = first_process(control.id());
    signal(first, "TERM");
    sleep(Duration::from_millis(500));
    assert!(
        control.try_wait().unwrap().is_none(),
        "a process without handlers ended"
    );
    signal(first, "KILL");
    control.wait().unwrap();
}
