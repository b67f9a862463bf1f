//! SIGTERM and SIGINT during a check that does not end.

use std::time::Duration;
use testing::{Binary, signals_end_the_first_process};

fn endless_check() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_broken")).with("CLOUD_RUN_JOB", "check")
}

#[test]
fn a_signal_ends_a_check_with_1_and_one_sentence() {
    for name in ["TERM", "INT"] {
        let mut check = endless_check().start("the check has begun");
        check.signal(name);
        assert_eq!(check.exit_code(Duration::from_secs(1)), Some(1));
        let line = check.wait_for_line("stopped by a signal");
        assert_eq!(check.log().trim(), format!("the check has begun\n{line}"));
    }
}

#[test]
#[ignore = "needs the right to make namespaces, which .ci/run has as root"]
fn as_the_first_process_of_its_container_a_signal_ends_a_check() {
    signals_end_the_first_process(&endless_check(), 1);
}
