//! Whatever fails, and wherever a process is killed: nothing has changed, or everything has.

use super::*;

/// A checkout with two files and a function.
struct Scratch(tempfile::TempDir, Checkout);

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkout = Checkout::at(folder.path());
        fs::create_dir_all(checkout.path("functions/old")).unwrap();
        for (file, text) in [("a", "a"), ("b", "b"), ("lock", "lock"), ("functions/old/c", "c")] {
            fs::write(checkout.path(file), text).unwrap();
        }
        Self(folder, checkout)
    }

    /// An edit of everything.
    fn edit(&self) -> Edit<'_> {
        let mut edit = Edit::begin(&self.1).unwrap();
        edit.add_folder("functions/new", &[("src/d".to_owned(), "d".to_owned())])
            .unwrap();
        edit.remove_folder("functions/old");
        edit.write("a", "A".to_owned());
        edit.write("b", "B".to_owned());
        edit
    }

    /// What there is, beside what the edit needs.
    fn texts(&self) -> String {
        let mut texts = Vec::new();
        for folder in ["functions/new", "functions/old"] {
            texts.extend(self.1.texts(folder).unwrap_or_default());
        }
        let files = ["a", "b", "lock"].map(|file| (file.to_owned(), self.1.text(file).unwrap()));
        texts.extend(files);
        texts
            .into_iter()
            .map(|(file, text)| format!("{file}={text} "))
            .collect()
    }
}

const BEFORE: &str = "c=c a=a b=b lock=lock ";
const AFTER: &str = "src/d=d a=A b=B lock=new ";

fn generate(scratch: &Scratch) -> Result<(), String> {
    fs::write(scratch.1.path("lock"), "new").map_err(|error| error.to_string())
}

#[test]
fn everything_changes_and_nothing_else_is_left() {
    let scratch = Scratch::new();
    scratch.edit().apply(&["lock"], || generate(&scratch)).unwrap();
    assert_eq!(scratch.texts(), AFTER);
    let left: Vec<_> = fs::read_dir(scratch.0.path().join(FOLDER)).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "the lock: {left:?}");
}

#[test]
fn what_fails_last_undoes_everything() {
    let scratch = Scratch::new();
    let failed = scratch.edit().apply(&["lock"], || {
        generate(&scratch)?;
        Err("no".to_owned())
    });
    assert_eq!(failed.unwrap_err(), "no\nnothing has changed");
    assert_eq!(scratch.texts(), BEFORE);
}

#[test]
fn a_folder_that_cannot_be_moved_undoes_everything() {
    let scratch = Scratch::new();
    let edit = scratch.edit();
    fs::create_dir_all(scratch.1.path("functions/new/in-the-way")).unwrap();
    let failed = edit.apply(&["lock"], || generate(&scratch)).unwrap_err();
    assert!(
        failed.contains("cannot become functions/new") && failed.ends_with("nothing has changed"),
        "{failed}"
    );
    fs::remove_dir_all(scratch.1.path("functions/new")).unwrap();
    assert_eq!(scratch.texts(), BEFORE);
}

#[test]
fn a_file_that_is_not_there_is_found_before_anything_changes() {
    let scratch = Scratch::new();
    let mut edit = scratch.edit();
    edit.write("nowhere", String::new());
    assert!(
        edit.apply(&["lock"], || generate(&scratch))
            .unwrap_err()
            .starts_with("nowhere cannot be read")
    );
    assert_eq!(scratch.texts(), BEFORE);
}

/// A killed process leaves the journal, and any number of the changes.
#[test]
fn the_next_command_undoes_what_a_killed_one_has_left_at_any_step() {
    for steps in 0..=5 {
        let scratch = Scratch::new();
        let edit = scratch.edit();
        edit.note(&["lock"]).unwrap();
        let rename = |from: &str, to: &str| edit.rename(from, to).unwrap();
        let changes: [&dyn Fn(); 5] = [
            &|| rename(".local/edit/added", "functions/new"),
            &|| edit.replace("a", "A").unwrap(),
            &|| edit.replace("b", "B").unwrap(),
            &|| rename("functions/old", ".local/edit/removed"),
            &|| generate(&scratch).unwrap(),
        ];
        changes.iter().take(steps).for_each(|change| change());
        drop(edit);
        Edit::begin(&scratch.1).unwrap();
        assert_eq!(scratch.texts(), BEFORE, "killed after {steps} changes");
    }
}

#[test]
fn two_commands_at_once_do_not_meet() {
    let scratch = Scratch::new();
    let first = scratch.edit();
    let refused = Edit::begin(&scratch.1).err().unwrap();
    assert_eq!(refused, "another command is changing this checkout");
    first.apply(&["lock"], || generate(&scratch)).unwrap();
    assert!(Edit::begin(&scratch.1).is_ok());
}

#[test]
fn a_file_keeps_its_mode_and_a_link_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scratch = Scratch::new();
    fs::set_permissions(scratch.1.path("a"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(scratch.1.path("b"), scratch.1.path("target")).unwrap();
    symlink("target", scratch.1.path("b")).unwrap();
    scratch.edit().apply(&["lock"], || generate(&scratch)).unwrap();
    let mode = scratch.1.path("a").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(scratch.1.path("b").is_symlink());
    assert_eq!(scratch.1.text("target").unwrap(), "B");
}
