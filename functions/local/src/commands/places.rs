//! The places beside its folder that name a function: the dependencies of `local`, the route table, and `template.yaml`. Each
//! is changed as text, so that comments and order stay.

mod dependencies;
mod route_table;
mod template;

use super::edit::Edit;
use super::checkout::Checkout;
use super::new::Route;

/// What the places say of a function.
pub struct Entry<'a> {
    pub name: &'a str,
    /// `None` for a job.
    pub route: Option<&'a Route>,
    /// Its block of `template.yaml`.
    pub block: &'a str,
}

const LOCAL: &str = "functions/local/Cargo.toml";
const ROOT: &str = "Cargo.toml";
const TEMPLATE: &str = "template.yaml";

/// Adds a function to each place.
///
/// # Errors
/// A place cannot be read, or already has it.
pub fn add(edit: &mut Edit<'_>, checkout: &Checkout, entry: &Entry<'_>) -> Result<(), String> {
    let local = dependencies::add(&checkout.text(LOCAL)?, entry.name, entry.route.is_some())?;
    edit.write(LOCAL, local);
    if let Some(route) = entry.route {
        edit.write(ROOT, route_table::add(&checkout.text(ROOT)?, entry.name, route)?);
    }
    edit.write(TEMPLATE, template::add(&checkout.text(TEMPLATE)?, entry.name, entry.block)?);
    Ok(())
}

/// Removes a function from each place that has it.
///
/// # Errors
/// A place cannot be read.
pub fn remove(edit: &mut Edit<'_>, checkout: &Checkout, name: &str) -> Result<(), String> {
    edit.write(LOCAL, dependencies::remove(&checkout.text(LOCAL)?, name));
    edit.write(ROOT, route_table::remove(&checkout.text(ROOT)?, name));
    edit.write(TEMPLATE, template::remove(&checkout.text(TEMPLATE)?, name));
    Ok(())
}

/// Puts lines before the first of `entries` that comes after them, or after the last. Each entry is the number of its first
/// line, that after its last, and what it is sorted by.
fn insert_sorted(text: &str, entries: &[(usize, usize, String)], key: &str, lines: &str) -> Option<String> {
    let after = entries.iter().find(|(_, _, other)| other.as_str() > key).map(|(first, ..)| *first);
    let position = after.or_else(|| Some(entries.last()?.1))?;
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    Some(all[..position].concat() + lines + &all[position..].concat())
}

/// The text without these lines.
fn without(text: &str, first: usize, end: usize) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    all[..first].concat() + &all[end..].concat()
}
