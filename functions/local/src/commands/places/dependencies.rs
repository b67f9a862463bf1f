//! The list of functions: the dependencies of `local` on packages beside it.

use super::{insert_sorted, without};

pub fn add(manifest: &str, name: &str, has_route: bool) -> Result<String, String> {
    let features = if has_route { ", features = [\"openapi\"]" } else { "" };
    let line = format!("{name} = {{ path = \"../{name}\"{features} }}\n");
    let added = insert_sorted(manifest, &entries(manifest), name, &line);
    added.ok_or_else(|| "functions/local/Cargo.toml has no list of functions".to_owned())
}

pub fn remove(manifest: &str, name: &str) -> String {
    let entries = entries(manifest);
    let found = entries.iter().find(|(.., other)| other == name);
    found.map_or_else(
        || manifest.to_owned(),
        |(first, end, _)| without(manifest, *first, *end),
    )
}

fn entries(manifest: &str) -> Vec<(usize, usize, String)> {
    let entry = |(number, line): (usize, &str)| {
        let (name, value) = line.split_once(" = ")?;
        let path = format!("{{ path = \"../{name}\"");
        value.starts_with(&path).then(|| (number, number + 1, name.to_owned()))
    };
    manifest.lines().enumerate().filter_map(entry).collect()
}
