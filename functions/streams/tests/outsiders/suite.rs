//! Runs the suite.

use crate::packages;
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use tokio::sync::Mutex;

/// The tests of everything but subscriptions.
pub const ALL: usize = 332;

/// Runs the suite against a server. Panics with what fails, and if there are fewer tests than expected.
pub async fn assert_conforms(name: &'static str, server: &str, expected: usize) {
    // One at a time: its tests wait for times that a busy machine would exceed.
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    let folder = packages::npm().await;
    let server = server.to_owned();
    let results = tokio::task::spawn_blocking(move || run(folder, name, &server))
        .await
        .unwrap();
    let failures = failures(&results);
    let passed = results["numPassedTests"].as_u64().unwrap();
    assert_eq!(failures, Vec::<String>::new(), "{passed} passed");
    assert_eq!(usize::try_from(passed).unwrap(), expected);
}

fn run(folder: &Path, name: &str, server: &str) -> Value {
    let results = folder.join(format!("{name}.json"));
    let _ = fs::remove_file(&results);
    let mut vitest = Command::new("node");
    vitest.args([
        "node_modules/vitest/vitest.mjs",
        "run",
        "--root=.",
        "--testTimeout=40000",
        "--reporter=json",
    ]);
    vitest.arg(format!("--outputFile={}", results.display()));
    let output = vitest.env("SERVER", server).current_dir(folder).output().unwrap();
    let read = fs::read(&results);
    let read = read.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_slice(&read).unwrap()
}

/// Each test that failed, and why.
fn failures(results: &Value) -> Vec<String> {
    let files = results["testResults"].as_array().unwrap().iter();
    let tests = files.flat_map(|file| file["assertionResults"].as_array().unwrap());
    let failed = tests.filter(|test| test["status"] == "failed");
    failed
        .map(|test| format!("{}: {}", test["fullName"], test["failureMessages"][0]))
        .collect()
}
