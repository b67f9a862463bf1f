//! Files that Cargo and `local` write: they are renewed after the list of functions has changed.

use super::checkout::Checkout;
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
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(cargo);
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
