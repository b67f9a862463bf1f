//! `migration`: begins a migration, a pair of files with the next number.

use super::print::print;
use crate::checkout::Checkout;
use std::{
    fs::{self, File},
    io::Write,
};

/// What may follow the name of the command.
pub const ARGUMENTS: &str = "NAME";

const UP: &str =
    "-- The release before this one runs on the new schema, too: migrations/README.md, \"Expand and contract\".\n";
const DOWN: &str = "-- The way back: for a laptop, and for a schema that nothing has written to yet.\n";

/// Makes the files. Empty ones, as they are, change nothing.
///
/// # Errors
/// Why there can be no such migration, or what failed.
pub fn run(checkout: &Checkout, arguments: &[&str]) -> Result<(), String> {
    let [name] = arguments else {
        return Err(format!("migration {ARGUMENTS}"));
    };
    check(name)?;
    let files = present(checkout)?;
    if let Some(taken) = files.iter().find(|file| words(file) == *name) {
        return Err(format!("migrations/{taken} has this name already"));
    }
    let number = files
        .iter()
        .filter_map(|file| file.split('_').next()?.parse().ok())
        .max()
        .unwrap_or(0_u32)
        + 1;
    let path = |direction| format!("migrations/{number:04}_{name}.{direction}.sql");
    // A file with the way back alone would not compile, so that comes second.
    create(checkout, &path("up"), UP)?;
    create(checkout, &path("down"), DOWN).inspect_err(|_| _ = fs::remove_file(checkout.path(&path("up"))))?;
    print(format_args!("{}: new\n{}: new", path("up"), path("down")))?;
    print(format_args!(
        "\n`cargo run` applies it. Where another branch has taken the number {number:04}, the later one takes the next."
    ))
}

fn check(name: &str) -> Result<(), String> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.len() <= 100 && name.split('_').all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not the name of a migration: lower-case words with _ are, such as add_greetings"
    ))
}

/// The names of the files.
fn present(checkout: &Checkout) -> Result<Vec<String>, String> {
    let folder =
        fs::read_dir(checkout.path("migrations")).map_err(|error| format!("migrations cannot be read: {error}"))?;
    let names = folder
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".sql")).collect())
}

/// The name in a file's name: `greetings` in `0002_greetings.up.sql`.
fn words(file: &str) -> &str {
    let words = file.split_once('_').map_or(file, |(_, words)| words);
    words.split('.').next().unwrap_or_default()
}

/// Fails if the file exists: two commands at once do not write the same one.
fn create(checkout: &Checkout, path: &str, text: &str) -> Result<(), String> {
    let created = File::create_new(checkout.path(path)).and_then(|mut file| file.write_all(text.as_bytes()));
    created.map_err(|error| format!("{path} cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(files: &[&str]) -> (tempfile::TempDir, Checkout) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("migrations")).unwrap();
        for file in files {
            fs::write(folder.path().join("migrations").join(file), "").unwrap();
        }
        let checkout = Checkout::at(folder.path());
        (folder, checkout)
    }

    #[test]
    fn a_pair_has_the_next_number() {
        let (_folder, checkout) = scratch(&["0009_a.up.sql", "0009_a.down.sql", "0002_b.sql", "README.md"]);
        run(&checkout, &["add_orders"]).unwrap();
        let mut files = present(&checkout).unwrap();
        files.sort();
        assert_eq!(
            files[files.len() - 2..],
            ["0010_add_orders.down.sql", "0010_add_orders.up.sql"]
        );
        let (_folder, checkout) = scratch(&[]);
        run(&checkout, &["first"]).unwrap();
        assert!(checkout.path("migrations/0001_first.up.sql").exists());
    }

    #[test]
    fn a_name_that_is_there_or_is_not_one_is_refused_and_nothing_is_written() {
        let (_folder, checkout) = scratch(&["0001_orders.up.sql"]);
        for name in [
            "orders", "", "Orders", "a-b", "a b", "../a", "1a", "a__b", "a.up", "a_", "ä",
        ] {
            assert!(run(&checkout, &[name]).is_err(), "{name}");
        }
        assert!(run(&checkout, &[]).is_err() && run(&checkout, &["a", "b"]).is_err());
        assert_eq!(present(&checkout).unwrap().len(), 1);
    }
}
