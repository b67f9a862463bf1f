//! The API document against a running server, by schemathesis, which generates requests well and badly formed.

use std::{path::Path, process::Command};

/// Asks a server for each of these paths, in every way that the document allows and in many that it does not. Panics with
/// what schemathesis, which must be on `PATH`, says of the first answer that breaks the document.
pub fn holds(url: &str, paths: &[&str]) {
    run(url, paths, &[]);
}

/// As [`holds`], for a server whose dependencies are not healthy: 503 is an answer like any other.
pub fn holds_while_unhealthy(url: &str, paths: &[&str]) {
    run(url, paths, &["--exclude-checks", "not_a_server_error"]);
}

fn run(url: &str, paths: &[&str], options: &[&str]) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions/local/openapi.json");
    let mut schemathesis = Command::new("schemathesis");
    schemathesis.arg("run").arg(document);
    schemathesis
        .args(["--url", url, "--max-examples", "50", "--no-color"])
        .args(options);
    for path in paths {
        schemathesis.args(["--include-path", path]);
    }
    // Schemathesis writes a database of examples into the current folder.
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let run = schemathesis
        .current_dir(folder.path())
        .output()
        .expect("schemathesis is on PATH");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{output}{}", String::from_utf8_lossy(&run.stderr));
    let tested = format!("Tested: {}", paths.len());
    assert!(output.contains(&tested), "not every path was asked for:\n{output}");
}
