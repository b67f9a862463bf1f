//! Files that Cargo and `local` write: they are renewed after the list of functions has changed.

use crate::checkout::Checkout;
use std::{
    env,
    ffi::OsString,
    fs,
    process::{Command, Stdio},
};
use tokio_util::sync::CancellationToken;

/// The files.
pub const FILES: &[&str] = &["Cargo.lock", DOCUMENT];

const DOCUMENT: &str = "functions/local/openapi.json";

/// Renews the files. Builds `local` for that, because only the code knows the API document. Uses no network.
///
/// # Errors
/// What Cargo says, or a signal has arrived.
pub fn renew(checkout: &Checkout, stop: &CancellationToken) -> Result<(), String> {
    cargo(checkout, &["metadata", "--offline", "--quiet", "--format-version", "1"])?;
    let document = cargo(checkout, &["run", "--offline", "--quiet", "--", "openapi"])?;
    if stop.is_cancelled() {
        return Err("stopped by a signal".to_owned());
    }
    fs::write(checkout.path(DOCUMENT), document).map_err(|error| format!("{DOCUMENT} cannot be written: {error}"))
}

/// The output of Cargo, whose messages appear on the terminal.
fn cargo(checkout: &Checkout, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(program);
    // What the Cargo around this process has set for it is not for the packages that are built: the build script of ring runs
    // again where these variables differ, and everything above it is compiled again, now and by the next `cargo test`.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo.args(arguments).current_dir(checkout.root());
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("cargo {} failed: {}", arguments[0], output.status))
}

/// Whether Cargo sets this variable for what it runs, by its package. Others are settings of Cargo.
fn is_of_a_package(name: &str) -> bool {
    name == "OUT_DIR"
        || ["CARGO_MANIFEST_", "CARGO_PKG_"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_has_set_for_this_test_is_of_a_package_and_its_settings_are_not() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(env::var_os(name).is_some() && is_of_a_package(name), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_JOBS",
            "CARGO_NET_OFFLINE",
            "PATH",
        ] {
            assert!(!is_of_a_package(name), "{name}");
        }
    }
}
