//! What pages have of a function: links to its folder, rows of tables, lines of maps, and its settings.

use std::collections::BTreeSet;

/// A page, by its path in the checkout, without what leads to a function. A link becomes its text.
pub fn remove(path: &str, page: &str, name: &str) -> String {
    let folder = format!("functions/{name}");
    let row = format!("| [`{name}`]({folder}) |");
    let is_of_map = |line: &str| {
        line.strip_prefix(&*folder)
            .is_some_and(|rest| rest.starts_with(['/', ' ']))
    };
    let lines = page.split_inclusive('\n');
    let lines: String = lines
        .filter(|line| !line.starts_with(&row) && !is_of_map(line))
        .collect();
    without_links(path, &lines, &folder)
}

/// The page of settings without the rows whose settings nothing reads any more.
pub fn remove_settings(page: &str, unread: &BTreeSet<String>) -> String {
    let is_unread = |line: &&str| {
        let cell = line.strip_prefix("| `").and_then(|row| row.split(" |").next());
        cell.is_some_and(|cell| {
            cell.split("`, `")
                .all(|name| unread.contains(name.trim_end_matches('`')))
        })
    };
    page.split_inclusive('\n').filter(|line| !is_unread(line)).collect()
}

fn without_links(path: &str, page: &str, folder: &str) -> String {
    let (mut without, mut rest) = (String::new(), page);
    while let Some((before, after)) = rest.split_once("](") {
        let link = before.rfind('[').zip(after.split_once(')'));
        match link.filter(|(_, (target, _))| is_in(folder, path, target)) {
            Some((open, (_, after))) => {
                without += &before[..open];
                without += &before[open + 1..];
                rest = after;
            }
            None => {
                without += before;
                without += "](";
                rest = after;
            }
        }
    }
    without + rest
}

/// Whether a link on a page leads to this folder, or into it.
fn is_in(folder: &str, page: &str, target: &str) -> bool {
    let mut path: Vec<&str> = page.split('/').collect();
    path.pop();
    for part in target.split('#').next().unwrap_or_default().split('/') {
        match part {
            ".." => _ = path.pop(),
            "" | "." => {}
            part => path.push(part),
        }
    }
    let path = path.join("/");
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
