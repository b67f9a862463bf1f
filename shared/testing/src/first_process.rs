//! A function as the first process of its container, for which signals have no default action.

use super::{Binary, exit_code, signal};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

const FIRST_OF_ITS_CONTAINER: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
];

/// Panics unless SIGTERM and SIGINT end this life of a function with this code within two seconds. Needs the right to
/// make namespaces.
pub fn signals_end_the_first_process(life: &Binary, code: i32) {
    for name in ["TERM", "INT"] {
        let mut unshare = life.clone().under(&FIRST_OF_ITS_CONTAINER).start_run(&[]);
        signal(first_process(unshare.id()), name);
        assert_eq!(exit_code(&mut unshare, Duration::from_secs(2)), Some(code), "{name}");
    }
    a_process_without_handlers_goes_on();
}

/// The control.
fn a_process_without_handlers_goes_on() {
    let mut sleeping = Binary::new("sleep").under(&FIRST_OF_ITS_CONTAINER).start_run(&["60"]);
    let first = first_process(sleeping.id());
    signal(first, "TERM");
    sleep(Duration::from_millis(500));
    let ended = sleeping.try_wait().expect("it is our child");
    assert!(ended.is_none(), "a process without handlers ended");
    signal(first, "KILL");
    sleeping.wait().expect("it is our child");
}

/// The process that `unshare` made the first of its namespace, once it handles SIGTERM, or a while after its start.
fn first_process(unshare: u32) -> u32 {
    let start = Instant::now();
    loop {
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        if let Ok(child) = children.expect("unshare runs").trim().parse()
            && (handles_sigterm(child) || start.elapsed() > Duration::from_secs(1))
        {
            return child;
        }
        sleep(Duration::from_millis(2));
    }
}

fn handles_sigterm(process: u32) -> bool {
    const SIGTERM: u32 = 15;
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let handled = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
    let handled = handled.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    handled.expect("the kernel tells") >> (SIGTERM - 1) & 1 == 1
}
