//! The places beside its folder that name a function: the dependencies of `local`, the route table, `template.yaml`, and what
//! pages say of it. Each is changed as text, so that comments and order stay.

mod dependencies;
mod pages;
mod route_table;
mod template;

use super::{
    edit::Edit,
    new::{Name, Route},
};
use crate::{
    checkout::Checkout,
    route_table::Route as Routed,
    settings::{self, PAGE as SETTINGS},
};
use std::collections::BTreeSet;

const LOCAL: &str = "functions/local/Cargo.toml";
const ROOT: &str = "Cargo.toml";
const TEMPLATE: &str = "template.yaml";

/// Adds a function, which has a route or is a job, to each place. Returns the places.
///
/// # Errors
/// A place has not the form that is expected, or has something of the same name.
pub fn add(
    edit: &mut Edit<'_>,
    checkout: &Checkout,
    name: &Name,
    route: Option<&Route>,
    block: &str,
) -> Result<Vec<&'static str>, String> {
    let (name, mut changed) = (name.as_str(), vec![LOCAL, TEMPLATE]);
    edit.write(LOCAL, dependencies::add(&checkout.text(LOCAL)?, name, route.is_some())?);
    edit.write(TEMPLATE, template::add(&checkout.text(TEMPLATE)?, name, block)?);
    if let Some(Route { method, path }) = route.cloned() {
        let function = name.to_owned();
        let table = route_table::add(&checkout.text(ROOT)?, &Routed { path, method, function })?;
        edit.write(ROOT, table);
        changed.push(ROOT);
    }
    Ok(changed)
}

/// Removes a function from each place. Returns those that had it.
///
/// # Errors
/// A place has it in a form that is not expected.
pub fn remove(edit: &mut Edit<'_>, checkout: &Checkout, name: &str) -> Result<Vec<String>, String> {
    let folder = format!("functions/{name}/");
    let pages = checkout.pages().into_iter().filter(|page| !page.starts_with(&folder));
    let mut changed = Vec::new();
    for place in [LOCAL, TEMPLATE, ROOT].map(str::to_owned).into_iter().chain(pages) {
        let text = checkout.text(&place)?;
        let without = match &*place {
            LOCAL => dependencies::remove(&text, name),
            TEMPLATE => template::remove(&text, name),
            ROOT => route_table::remove(&text, name)?,
            SETTINGS => pages::remove_settings(&text, &read_only_by(checkout, name)),
            page => pages::remove(page, &text, name),
        };
        if without != text {
            edit.write(&place, without);
            changed.push(place);
        }
    }
    Ok(changed)
}

/// The settings that this function reads, and nothing else.
fn read_only_by(checkout: &Checkout, name: &str) -> BTreeSet<String> {
    let of = |function: &String| settings::read_in(&checkout.path("functions").join(function));
    let others = checkout.functions().into_iter().filter(|other| other != name);
    let others: BTreeSet<String> = others.flat_map(|other| of(&other)).collect();
    let shared = settings::read_in(&checkout.path("shared/src"));
    let read = of(&name.to_owned()).into_iter();
    read.filter(|name| !others.contains(name) && !shared.contains(name))
        .collect()
}

/// Puts lines before the first of `entries` that comes after them, or after the last. Each entry is the number of its first
/// line, that after its last, and what it is sorted by.
fn insert_sorted(text: &str, entries: &[(usize, usize, String)], key: &str, lines: &str) -> Option<String> {
    let after = entries
        .iter()
        .find(|(_, _, other)| other.as_str() > key)
        .map(|(first, ..)| *first);
    let position = after.or(entries.last().map(|(_, end, _)| *end))?;
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    Some(all[..position].concat() + lines + &all[position..].concat())
}

/// The text without these lines.
fn without(text: &str, first: usize, end: usize) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    all[..first].concat() + &all[end..].concat()
}

#[cfg(test)]
mod tests;
