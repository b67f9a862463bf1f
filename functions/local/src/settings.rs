//! The settings that sources read.

use std::{collections::BTreeSet, fs, path::Path};

/// The page with a row for each.
pub const PAGE: &str = "shared/src/config/README.md";

/// The name of every variable that the sources in a folder read by a literal name, without those that tests read.
pub fn read_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            names.extend(read_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(read_by(&fs::read_to_string(path).unwrap_or_default()));
        }
    }
    names
}

fn read_by(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let source = source.replace("(\n", "(").replace("  ", "");
    let calls = ["env.text(\"", "env.parse(\"", "env.duration(\""].iter();
    let names = calls.flat_map(|call| source.split(call).skip(1).filter_map(|rest| rest.split('"').next()));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_a_line_breaks_and_those_of_tests_are_not() {
        let source = "env.text(\"A\"); env.parse(\n        \"B\", 1); env\n.duration(C)\n#[cfg(test)]\nenv.text(\"D\")";
        assert_eq!(read_by(source), ["A", "B"]);
    }
}
