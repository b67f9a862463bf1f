//! The password file, `.pgpass` (PostgreSQL, 34.16).

use super::Host;
use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Once};

/// The password of the first line that matches. A file that others may read is ignored, as in libpq.
pub(super) fn password(file: &Path, host: &Host, database: Option<&str>, user: Option<&str>) -> Option<String> {
    const OTHERS: u32 = 0o077;
    if fs::metadata(file).ok()?.mode() & OTHERS != 0 {
        // Several functions of a process may read it.
        static WARNED: Once = Once::new();
        WARNED.call_once(|| tracing::warn!("the password file is not used, because others may read it"));
        return None;
    }
    let (host, port) = match host {
        Host::Tcp { name, port, .. } => (name.as_str(), port.to_string()),
        Host::Socket(path) => (path.parent()?.to_str()?, path.extension()?.to_str()?.to_owned()),
    };
    let user = user.unwrap_or_default();
    let key = [host, &port, database.unwrap_or(user), user];
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| password_in(line, &key))
}

/// `host:port:database:user:password`, where each of the first four may be `*`.
fn password_in(line: &str, key: &[&str; 4]) -> Option<String> {
    let fields = fields(line);
    let (password, names) = fields.split_last()?;
    let is_for = |(name, wanted): (&String, &&str)| name == "*" || name == wanted;
    (names.len() == key.len() && names.iter().zip(key).all(is_for)).then(|| password.clone())
}

/// A backslash escapes a colon or a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let taken = match character {
            ':' => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        fields.last_mut().into_iter().for_each(|field| field.push(taken));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_has_the_password() {
        let key = ["h", "5432", "d", "u"];
        for (line, expected) in [
            ("h:5432:d:u:p", Some("p")),
            ("*:*:*:*:p", Some("p")),
            (r"h:*:d:u:a\:b\\c", Some(r"a:b\c")),
            ("h:5433:d:u:p", None),
            ("h:5432:d:u", None),
            ("# a comment", None),
            ("", None),
        ] {
            assert_eq!(password_in(line, &key).as_deref(), expected, "{line}");
        }
    }
}
