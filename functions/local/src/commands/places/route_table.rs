//! Lines of the route table: `"/path" = "function"`, or a list with the function of each method.

use super::{insert_sorted, without};
use crate::route_table::{self, Route, declared};

const TABLE: &str = "[workspace.metadata.lambda.watch.router]";

pub fn add(manifest: &str, new: &Route) -> Result<String, String> {
    let entries = entries(manifest);
    let Some((first, end, path)) = entries.iter().find(|(.., path)| *path == new.path) else {
        let line = format!("\"{}\" = \"{}\"\n", new.path, new.function);
        return insert_sorted(manifest, &entries, &new.path, &line)
            .ok_or_else(|| format!("Cargo.toml has no lines in {TABLE}"));
    };
    let value = lines(manifest, *first, *end);
    let shared = match value.trim_end().strip_suffix(']') {
        Some(list) => format!("{}, {}{}", list.trim_end(), items(new), &value[list.trim_end().len()..]),
        None => {
            let others = declared()
                .into_iter()
                .filter(|other| other.path == *path)
                .map(|other| items(&other));
            let all: Vec<String> = others.chain([items(new)]).collect();
            format!("\"{path}\" = [{}]\n", all.join(", "))
        }
    };
    Ok(with(manifest, *first, *end, &shared))
}

/// # Errors
/// A line is written in another way than here.
pub fn remove(manifest: &str, name: &str) -> Result<String, String> {
    let mut manifest = manifest.to_owned();
    for (first, end, path) in entries(&manifest).into_iter().rev() {
        let line = lines(&manifest, first, end);
        if line.trim_end().ends_with(&format!("= \"{name}\"")) {
            manifest = without(&manifest, first, end);
        } else if line.contains('[') {
            manifest = with(&manifest, first, end, &unshared(&line, &path, name));
        }
    }
    let left = route_table::read(&manifest)?
        .into_iter()
        .find(|line| line.function == name);
    left.map_or(Ok(manifest), |line| {
        Err(format!(
            "Cargo.toml: remove {name} from the line of {} first",
            line.path
        ))
    })
}

/// A list without a function; the plain form where only one function is left.
fn unshared(line: &str, path: &str, name: &str) -> String {
    let (mut line, mut is_changed) = (line.to_owned(), false);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let item = item(method, name);
        for text in [format!(", {item}"), format!("{item}, "), item] {
            is_changed |= line.contains(&text);
            line = line.replace(&text, "");
        }
    }
    let mut functions: Vec<&str> = line
        .split("function = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    functions.dedup();
    match functions[..] {
        _ if !is_changed => line,
        [] => String::new(),
        [function] => format!("\"{path}\" = \"{function}\"\n"),
        _ => line,
    }
}

/// `cargo lambda watch` takes HEAD for a method like any other.
fn items(Route { method, function, .. }: &Route) -> String {
    let head = (method == "GET").then(|| format!(", {}", item("HEAD", function)));
    item(method, function) + &head.unwrap_or_default()
}

fn item(method: &str, function: &str) -> String {
    format!("{{ method = \"{method}\", function = \"{function}\" }}")
}

/// The lines of each path, and the path.
fn entries(manifest: &str) -> Vec<(usize, usize, String)> {
    let mut entries: Vec<(usize, usize, String)> = Vec::new();
    let numbered = manifest
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != TABLE)
        .skip(1);
    for (number, line) in numbered.take_while(|(_, line)| !line.is_empty() && !line.starts_with("[w")) {
        match (line.split('"').nth(1), entries.last_mut()) {
            (Some(path), _) if line.starts_with('"') => entries.push((number, number + 1, path.to_owned())),
            (_, Some(entry)) => entry.1 = number + 1,
            _ => {}
        }
    }
    entries
}

fn lines(text: &str, first: usize, end: usize) -> String {
    text.split_inclusive('\n').skip(first).take(end - first).collect()
}

fn with(text: &str, first: usize, end: usize, lines: &str) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    all[..first].concat() + lines + &all[end..].concat()
}
