//! Names of files: each key has one, and the file of one key is never a folder in the path of another.

use crate::storage::{InvalidKey, Key};

/// The end of every file name. A `%` in a key is escaped as `%25`, so that no folder ends like this.
const OBJECT: &str = "%object";
/// The start of a name that continues the segment of the name before.
const CONTINUED: &str = "%+";
/// The longest name without these two, in bytes; file systems take 255.
const LONGEST: usize = 240;

/// The folders above the file of an object, and the name of the file.
pub fn names(key: &Key) -> (Vec<String>, String) {
    let mut names = Vec::new();
    for segment in key.as_str().split('/') {
        let escaped = segment.replace('%', "%25");
        let (first, mut rest) = split(&escaped);
        names.push(first.to_owned());
        while !rest.is_empty() {
            let (next, further) = split(rest);
            names.push(format!("{CONTINUED}{next}"));
            rest = further;
        }
    }
    let name = names.pop().unwrap_or_default();
    (names, name + OBJECT)
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(LONGEST))
}

/// The key of a file; `None` if it is not the file of any key.
pub fn key(folders: &[String], name: &str) -> Option<Key> {
    let last = name.strip_suffix(OBJECT)?;
    let mut text = String::new();
    for name in folders.iter().map(String::as_str).chain([last]) {
        match name.strip_prefix(CONTINUED) {
            Some(rest) => text += rest,
            None if text.is_empty() => text += name,
            None => text += &format!("/{name}"),
        }
    }
    let text = text.replace("%25", "%");
    let key = match text.parse() {
        Err(InvalidKey::Reserved) => Key::listed(&text),
        key => key.ok()?,
    };
    (names(&key) == (folders.to_vec(), name.to_owned())).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_key_has_a_different_file_name_and_is_read_back_from_it() {
        let long = "a".repeat(240);
        let keys = [
            "a",
            "a/b",
            "a#1",
            "a%object",
            "a%object/b",
            "a%+",
            "a%+/b",
            "%+/b",
            "a%25",
            "a%",
            "a%2525",
            "...",
            &long,
        ];
        let mut keys = keys.map(str::to_owned).to_vec();
        keys.extend(["b", "/b", "..", "../x", ".", "./x", "%+b"].map(|rest| format!("{long}{rest}")));
        keys.extend([
            "ä".repeat(512),
            "%".repeat(1024),
            "日".repeat(341),
            format!("{}/b", "c".repeat(1000)),
        ]);
        let (mut files, mut folders) = (HashSet::new(), HashSet::new());
        for text in keys {
            let (path, name) = names(&text.parse().unwrap());
            for name in path.iter().chain([&name]) {
                assert!(
                    name.len() <= 255 && !name.contains('/') && !["", ".", ".."].contains(&name.as_str()),
                    "{text}"
                );
            }
            assert_eq!(key(&path, &name).unwrap().as_str(), text);
            folders.extend((1..=path.len()).map(|length| path[..length].join("/")));
            assert!(files.insert([&path[..], &[name]].concat().join("/")), "{text}");
        }
        assert!(files.is_disjoint(&folders));
    }

    #[test]
    fn a_file_that_no_key_has_is_not_an_object() {
        for name in ["a", "%+a%object", "a%2f%object", "a%%object", "%object", "lost+found"] {
            assert_eq!(key(&[], name), None, "{name}");
        }
        assert_eq!(key(&["short".to_owned()], "%+b%object"), None);
    }
}
