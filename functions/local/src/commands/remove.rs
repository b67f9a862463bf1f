//! `remove`: takes a function out of the bundle.

use super::{checkout::Checkout, edit::Edit, generated, new::record, places};
use std::process::Command;
use tokio_util::sync::CancellationToken;

const ARGUMENTS: &str = "NAME [--force]";

/// Removes a function: its folder, and its lines in the places that list functions.
///
/// # Errors
/// Why it cannot be removed, or what failed. Nothing has changed then.
pub fn run(checkout: &Checkout, arguments: &[&str], stop: &CancellationToken) -> Result<(), String> {
    let (name, is_forced) = match arguments {
        [name] => (*name, false),
        [name, "--force"] | ["--force", name] => (*name, true),
        _ => return Err(format!("remove {ARGUMENTS}")),
    };
    let mut edit = Edit::begin(checkout)?;
    let folder = format!("functions/{name}");
    check(checkout, name)?;
    if !is_forced && !record::is_unchanged(checkout, name) {
        check_is_committed(checkout, &folder)?;
    }
    edit.remove_folder(&folder);
    let places = places::remove(&mut edit, checkout, name)?;
    edit.apply(generated::FILES, || generated::renew(checkout, stop))?;
    println!("{folder}: deleted");
    places.iter().for_each(|place| println!("{place}: changed"));
    generated::FILES.iter().for_each(|file| println!("{file}: renewed"));
    println!("\nStill there: its migrations and rows, its objects, and what is deployed of it.");
    Ok(())
}

fn check(checkout: &Checkout, name: &str) -> Result<(), String> {
    if name == "local" {
        return Err("local is what runs this command: it serves the other functions and is not deployed".to_owned());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.chars().all(is_name) || !checkout.path("functions").join(name).join("Cargo.toml").is_file() {
        return Err(format!("functions has no function {name:?}"));
    }
    Ok(())
}

/// Whether git has everything of a folder, so that nothing is lost.
fn check_is_committed(checkout: &Checkout, folder: &str) -> Result<(), String> {
    let mut git = Command::new("git");
    git.args(["status", "--porcelain", "--ignored", "--", folder])
        .current_dir(checkout.root());
    match git.output() {
        Ok(output) if output.status.success() && output.stdout.is_empty() => Ok(()),
        Ok(output) if output.status.success() => Err(format!(
            "{folder} has what git does not have; --force deletes that, too:\n{}",
            String::from_utf8_lossy(&output.stdout).trim_end()
        )),
        _ => Err(format!(
            "git cannot say whether it has everything of {folder}; --force deletes it"
        )),
    }
}
