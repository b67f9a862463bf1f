//! SIGTERM and SIGINT where they could be lost.

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};
use testing::{Binary, exit_code, signal, signals_end_the_first_process};

#[test]
fn a_report_that_nobody_reads_does_not_keep_a_signal_from_ending_a_check() {
    const CAPACITY: usize = 64 * 1024;
    let (_unread, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b' '; CAPACITY]).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_health"))
        .arg("check")
        .env_clear()
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(300));
    assert!(check.try_wait().unwrap().is_none(), "the pipe had room");
    signal(check.id(), "TERM");
    assert_eq!(exit_code(&mut check, Duration::from_secs(3)), Some(1));
}

#[test]
#[ignore = "needs the right to make namespaces, which .ci/run has as root"]
fn as_the_first_process_of_its_container_a_signal_ends_a_server_and_a_lambda_function() {
    let health = Binary::new(env!("CARGO_BIN_EXE_health"));
    signals_end_the_first_process(&health.clone().with("PORT", "0"), 0);
    let silent_api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent_api.local_addr().unwrap().to_string();
    signals_end_the_first_process(&health.with("AWS_LAMBDA_RUNTIME_API", address), 0);
}
