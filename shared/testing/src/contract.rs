//! The API document against a running server, by schemathesis, which generates requests well and badly formed: parameters and
//! bodies that the document allows, and those that it does not, other methods and media types. It sends no token but that of a
//! header among the options, and then asks without that and with a broken one, too.

use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// Asks a server for each of these paths, as the API document has them, with every method that is documented there. Panics with
/// what schemathesis, which must be on `PATH`, says of the answers that break the document.
pub fn holds(url: &str, paths: &[&str]) {
    holds_with(url, paths, &[]);
}

/// As [`holds`], for a server whose dependencies are not healthy: 503 is an answer like any other.
pub fn holds_while_unhealthy(url: &str, paths: &[&str]) {
    holds_with(url, paths, &["--exclude-checks", "not_a_server_error"]);
}

/// As [`holds`], with more options of schemathesis.
pub fn holds_with(url: &str, paths: &[&str], options: &[&str]) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions/local/openapi.json");
    if let Err(broken) = examine(&document, url, paths, options) {
        panic!("{broken}");
    }
}

/// As [`holds`], by another document.
///
/// # Errors
/// What schemathesis says of the answers that break the document.
pub fn examine(document: &Path, url: &str, paths: &[&str], options: &[&str]) -> Result<(), String> {
    let mut schemathesis = Command::new("schemathesis");
    schemathesis
        .arg("run")
        .arg(fs::canonicalize(document).expect("the document is there"));
    schemathesis
        .args(["--url", url, "--max-examples", "50", "--no-color"])
        .args(options);
    for path in paths {
        schemathesis.args(["--include-path", path]);
    }
    // Schemathesis writes a database of examples into the current folder.
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract.py");
    let run = schemathesis
        .env("SCHEMATHESIS_HOOKS", hooks)
        .current_dir(folder.path())
        .output()
        .expect("schemathesis is on PATH");
    let output = String::from_utf8_lossy(&run.stdout);
    if !run.status.success() {
        return Err(format!("{output}{}", String::from_utf8_lossy(&run.stderr)));
    }
    let tested = format!("Tested: {}", operations(document, paths));
    assert!(
        output.contains(&tested),
        "not every operation was asked for, which would say {tested}:\n{output}"
    );
    Ok(())
}

/// How many operations the document has on these paths.
fn operations(document: &Path, paths: &[&str]) -> usize {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let text = fs::read_to_string(document).expect("the document can be read");
    let document: Value = serde_json::from_str(&text).expect("it is JSON");
    let on_path = |path: &&str| {
        let item = &document["paths"][path];
        let documented = METHODS.iter().filter(|method| item[method].is_object()).count();
        assert_ne!(documented, 0, "the document has no operation on {path}");
        documented
    };
    paths.iter().map(on_path).sum()
}
