//! Changes to several files of the checkout: all of them are made, or none.

use super::print::print;
use crate::checkout::Checkout;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Holds the journal, the lock, and folders that are about to be moved into the checkout or out of it. On the same disk as
/// the checkout, and ignored by git.
const FOLDER: &str = ".local/edit";
const JOURNAL: &str = ".local/edit/journal.json";

/// The right to change a checkout. One process at a time has it.
pub struct Edit<'a> {
    checkout: &'a Checkout,
    moves: Vec<[String; 2]>,
    files: Vec<(String, String)>,
    _lock: Lock,
}

/// Released when it is dropped, also while a child process that is about to start still has the file.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl<'a> Edit<'a> {
    /// Begins, after undoing what a killed process has left.
    ///
    /// # Errors
    /// Another process is changing this checkout, or the disk fails.
    pub fn begin(checkout: &'a Checkout) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{FOLDER} cannot be written: {error}");
        fs::create_dir_all(checkout.path(FOLDER)).map_err(failed)?;
        let lock = File::create(checkout.path(FOLDER).join("lock")).map_err(failed)?;
        lock.try_lock()
            .map_err(|_| "another command is changing this checkout".to_owned())?;
        let edit = Self {
            checkout,
            moves: Vec::new(),
            files: Vec::new(),
            _lock: Lock(lock),
        };
        if checkout.path(JOURNAL).exists() {
            edit.undo()?;
            print("undone: what an interrupted command had changed")?;
        }
        edit.clean().map_err(failed)?;
        Ok(edit)
    }

    /// A new folder with these files. Paths of folders are from the checkout, those of files from the folder. Returns where
    /// the folder is until the changes are made.
    ///
    /// # Errors
    /// The disk fails.
    pub fn add_folder(&mut self, folder: &str, files: &[(String, String)]) -> Result<String, String> {
        let staged = format!("{FOLDER}/added");
        for (file, text) in files {
            let path = self.checkout.path(&staged).join(file);
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            parent
                .and_then(|()| fs::write(&path, text))
                .map_err(|error| format!("{staged}/{file}: {error}"))?;
        }
        self.moves.push([staged.clone(), folder.to_owned()]);
        Ok(staged)
    }

    /// The folder is deleted.
    pub fn remove_folder(&mut self, folder: &str) {
        self.moves.push([folder.to_owned(), format!("{FOLDER}/removed")]);
    }

    /// A file that is there gets another text.
    pub fn write(&mut self, file: &str, text: String) {
        self.files.push((file.to_owned(), text));
    }

    /// Makes the changes, and then has `generate` change these further files.
    ///
    /// # Errors
    /// What failed. Nothing has changed then.
    pub fn apply(self, generated: &[&str], generate: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        self.note(generated)?;
        let made = self.make().and_then(|()| generate());
        if let Err(error) = made {
            return Err(match self.undo() {
                Ok(()) => format!("{error}\nnothing has changed"),
                Err(undone) => format!("{error}\nnot undone, the next command tries it again: {undone}"),
            });
        }
        let done = fs::remove_file(self.checkout.path(JOURNAL)).and_then(|()| self.clean());
        done.map_err(|error| format!("{JOURNAL} cannot be removed: {error}"))
    }

    /// Writes the journal: what is needed to undo everything.
    fn note(&self, generated: &[&str]) -> Result<(), String> {
        let changed = self.files.iter().map(|(file, _)| file.as_str());
        let files = changed.chain(generated.iter().copied());
        let texts = files.map(|file| Ok((file.to_owned(), self.checkout.text(file)?.into())));
        let texts: serde_json::Map<String, Value> = texts.collect::<Result<_, String>>()?;
        let journal = json!({"moves": self.moves, "files": texts}).to_string();
        replace(&self.checkout.path(JOURNAL), &journal, None).map_err(|error| format!("{JOURNAL}: {error}"))
    }

    /// Folders are moved in before anything names them, and moved out after nothing does: Cargo can read the checkout at
    /// every moment.
    fn make(&self) -> Result<(), String> {
        let is_new = |[from, _]: &&[String; 2]| from.starts_with(FOLDER);
        let (added, removed): (Vec<_>, Vec<_>) = self.moves.iter().partition(is_new);
        added.into_iter().try_for_each(|[from, to]| self.rename(from, to))?;
        for (file, text) in &self.files {
            self.replace(file, text)?;
        }
        removed.into_iter().try_for_each(|[from, to]| self.rename(from, to))
    }

    /// Restores what the journal has, in the opposite order.
    fn undo(&self) -> Result<(), String> {
        let journal: Value = serde_json::from_str(&self.checkout.text(JOURNAL)?).map_err(|error| error.to_string())?;
        let moves: Vec<[String; 2]> =
            serde_json::from_value(journal["moves"].clone()).map_err(|error| error.to_string())?;
        let (added, removed): (Vec<_>, Vec<_>) = moves.iter().partition(|[from, _]| from.starts_with(FOLDER));
        let exists = |path: &String| self.checkout.path(path).exists();
        // A folder that is still where it was has not been moved: what is in its way is somebody else's.
        let back = |[from, to]: &[String; 2]| {
            if exists(to) && !exists(from) {
                self.rename(to, from)
            } else {
                Ok(())
            }
        };
        removed.into_iter().try_for_each(back)?;
        for (file, text) in journal["files"].as_object().into_iter().flatten() {
            self.replace(file, text.as_str().unwrap_or_default())?;
        }
        added.into_iter().try_for_each(back)?;
        fs::remove_file(self.checkout.path(JOURNAL)).map_err(|error| format!("{JOURNAL} cannot be removed: {error}"))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), String> {
        let renamed = fs::rename(self.checkout.path(from), self.checkout.path(to));
        renamed.map_err(|error| format!("{from} cannot become {to}: {error}"))
    }

    fn replace(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.checkout.path(file);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        let replaced = path.canonicalize().and_then(|path| replace(&path, text, Some(&path)));
        replaced.map_err(|error| format!("{file} cannot be written: {error}"))
    }

    fn clean(&self) -> io::Result<()> {
        for folder in ["added", "removed"] {
            match fs::remove_dir_all(self.checkout.path(FOLDER).join(folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes a file beside its place and renames it, so that nobody reads half of it. It gets the mode and the owner of `like`.
fn replace(path: &Path, text: &str, like: Option<&Path>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = fs::write(&beside, text).and_then(|()| like.map_or(Ok(()), |like| resemble(&beside, like)));
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    renamed.inspect_err(|_| _ = fs::remove_file(&beside))
}

fn resemble(file: &Path, like: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let metadata = like.metadata()?;
    fs::set_permissions(file, metadata.permissions())?;
    if file.metadata()?.uid() != metadata.uid() {
        chown(file, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
