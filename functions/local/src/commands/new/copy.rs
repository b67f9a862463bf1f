//! Copies a text of the example, without what was not asked for.
//!
//! A line that ends in `// if db` stays with `--db` only, and so do the comments and attributes above it. A comment `// if db`
//! by itself does the same to everything up to the next empty line. In TOML and YAML, a comment begins with `#`.

use std::collections::BTreeSet;

/// What was asked for: `db`, `storage`, `body`, and so on.
pub type Wishes = BTreeSet<&'static str>;

/// The text without what other wishes are for, and without the conditions.
pub fn copy(text: &str, wishes: &Wishes) -> String {
    let mut copied: Vec<&str> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match Condition::of(line) {
            None => copied.push(line),
            Some(Condition { before: "", wanted }) if holds(wanted, wishes) => {}
            Some(Condition { before: "", .. }) => _ = lines.find(|line| line.is_empty()),
            Some(Condition { before, wanted }) if holds(wanted, wishes) => copied.push(before),
            Some(_) => drop_attached(&mut copied),
        }
    }
    copied.join("\n") + "\n"
}

struct Condition<'a> {
    /// The line without the condition.
    before: &'a str,
    wanted: &'a str,
}

impl<'a> Condition<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (before, wanted) = ["// if ", "# if "].iter().find_map(|mark| line.rsplit_once(mark))?;
        let is_doc = before.trim_start().starts_with("//");
        (!is_doc).then_some(Self {
            before: before.trim_end(),
            wanted,
        })
    }
}

/// `db`, `not db`, `db and body`.
fn holds(condition: &str, wishes: &Wishes) -> bool {
    condition.split(" and ").all(|wish| match wish.strip_prefix("not ") {
        Some(unwanted) => !wishes.contains(unwanted),
        None => wishes.contains(wish),
    })
}

/// The comments and attributes above a line that is left out.
fn drop_attached(copied: &mut Vec<&str>) {
    let is_attached = |line: &&str| ["///", "#[", "# "].iter().any(|begin| line.trim_start().starts_with(begin));
    while copied.last().is_some_and(is_attached) {
        copied.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
one // if a
/// About two.
#[two]
two // if b
three // if a and not b

// if not a
four
five

six
";

    fn copied(wishes: &[&'static str]) -> String {
        copy(TEXT, &wishes.iter().copied().collect())
    }

    #[test]
    fn what_was_not_asked_for_is_left_out_with_its_comments() {
        assert_eq!(copied(&[]), "\nfour\nfive\n\nsix\n");
        assert_eq!(copied(&["a"]), "one\nthree\n\nsix\n");
        assert_eq!(copied(&["a", "b"]), "one\n/// About two.\n#[two]\ntwo\n\nsix\n");
        assert_eq!(copied(&["b"]), "/// About two.\n#[two]\ntwo\n\nfour\nfive\n\nsix\n");
    }
}
