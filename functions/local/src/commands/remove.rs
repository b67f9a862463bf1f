//! `remove`: takes a function out of the bundle.

use super::{
    edit::Edit,
    generated,
    new::record,
    places,
    print::{print, print_changes},
};
use crate::checkout::Checkout;
use std::process::Command;
use tokio_util::sync::CancellationToken;

/// What may follow the name of the command.
pub const ARGUMENTS: &str = "NAME [--force]";

/// The functions that something else stands on, and what.
const NEEDED: &[(&str, &str)] = &[
    (
        "local",
        "it is what runs this command and serves the other functions; it is not deployed",
    ),
    ("migrate", "every deployment migrates by it, and so does `cargo run`"),
    (
        "health",
        "the runtime is tested by it, because it is a function that has nothing else",
    ),
];

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
    print(format_args!("{folder}: deleted"))?;
    print_changes(&places)?;
    print(
        "\nStill there: its migrations and rows, its objects, what is deployed of it, and what pages say of it in words.",
    )
}

fn check(checkout: &Checkout, name: &str) -> Result<(), String> {
    if let Some((_, why)) = NEEDED.iter().find(|(needed, _)| *needed == name) {
        return Err(format!("{name} cannot be removed: {why}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_something_stands_on_and_what_is_not_there_is_not_removed() {
        let checkout = Checkout::of_build();
        for (name, why) in [
            ("local", "it is what runs this command"),
            ("migrate", "every deployment migrates by it"),
            ("health", "the runtime is tested by it"),
            ("nobody", "has no function"),
            ("../shared", "has no function"),
            ("", "has no function"),
        ] {
            let refused = check(&checkout, name).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
    }
}
