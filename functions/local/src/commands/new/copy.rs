//! Copies a text of an example, without what was not asked for.
//!
//! A line that ends in `// if db` stays with `--db` only, and so do the comments and attributes above it. A comment `// if db`
//! by itself does the same to everything up to the next empty line. In TOML and YAML it is `# if db`, and the lines below that
//! are further in go with the line.

use std::collections::BTreeSet;

/// What was asked for: `db`, `storage`, `body`, and so on.
pub type Wishes = BTreeSet<&'static str>;

/// The text without what other wishes are for, and without the conditions.
pub fn copy(text: &str, wishes: &Wishes) -> String {
    let mut copied: Vec<&str> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(condition) = Condition::of(line) else {
            copied.push(line);
            continue;
        };
        match (condition.before.trim(), condition.holds(wishes)) {
            ("", true) => {}
            ("", false) => _ = lines.by_ref().find(|line| line.is_empty()),
            (_, true) => copied.push(condition.before),
            (_, false) => {
                drop_attached(&mut copied);
                while condition.is_yaml && lines.next_if(|below| indent(below) > indent(line)).is_some() {}
            }
        }
    }
    copied.join("\n") + "\n"
}

struct Condition<'a> {
    /// The line without the condition.
    before: &'a str,
    wanted: &'a str,
    is_yaml: bool,
}

impl<'a> Condition<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let found = |mark| {
            line.rsplit_once(mark)
                .map(|(before, wanted)| (before.trim_end(), wanted, mark))
        };
        let (before, wanted, mark) = found("// if ").or_else(|| found("# if "))?;
        let is_yaml = mark.starts_with('#');
        Some(Self {
            before,
            wanted,
            is_yaml,
        })
    }

    /// `db`, `not db`, `db and body`, `db or body`.
    fn holds(&self, wishes: &Wishes) -> bool {
        let holds = |wish: &str| match wish.strip_prefix("not ") {
            Some(unwanted) => !wishes.contains(unwanted),
            None => wishes.contains(wish),
        };
        self.wanted.split(" or ").any(|wanted| wanted.split(" and ").all(holds))
    }
}

/// The comments and attributes above a line that is left out.
fn drop_attached(copied: &mut Vec<&str>) {
    let is_attached = |line: &&str| {
        ["// ", "///", "#[", "# "]
            .iter()
            .any(|begin| line.trim_start().starts_with(begin))
    };
    while copied.last().is_some_and(is_attached) {
        copied.pop();
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
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

six // if a or b
";

    fn copied(text: &str, wishes: &[&'static str]) -> String {
        copy(text, &wishes.iter().copied().collect())
    }

    #[test]
    fn what_was_not_asked_for_is_left_out_with_its_comments() {
        assert_eq!(copied(TEXT, &[]), "\nfour\nfive\n\n");
        assert_eq!(copied(TEXT, &["a"]), "one\nthree\n\nsix\n");
        assert_eq!(copied(TEXT, &["a", "b"]), "one\n/// About two.\n#[two]\ntwo\n\nsix\n");
        assert_eq!(
            copied(TEXT, &["b"]),
            "/// About two.\n#[two]\ntwo\n\nfour\nfive\n\nsix\n"
        );
    }

    #[test]
    fn what_is_further_in_goes_with_its_line() {
        let yaml = "a: # if b\n  c: 1\n\n  d: 2\ne: 3 # f # if b\n";
        assert_eq!(copied(yaml, &[]), "\n  d: 2\n");
        assert_eq!(copied(yaml, &["b"]), "a:\n  c: 1\n\n  d: 2\ne: 3 # f\n");
    }
}
