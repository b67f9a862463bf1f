//! The checkout that a command changes, and that tests read.

use shared::config::Env;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A checkout of this repository.
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The checkout that Cargo runs this command in, or the one around the current folder.
    ///
    /// # Errors
    /// There is none.
    pub fn find(env: &Env) -> Result<Self, String> {
        let package = env.text("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let folder = package.map_or_else(std::env::current_dir, Ok);
        let folder = folder.map_err(|error| format!("the current folder cannot be read: {error}"))?;
        let root = folder
            .ancestors()
            .find(|root| root.join("functions/local/Cargo.toml").is_file());
        let root = root.ok_or("this folder is in no checkout: no functions/local is above it")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The checkout that this library was built in, for its tests.
    pub fn of_build() -> Self {
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    }

    /// The checkout in this folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or a folder in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn text(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.path(path)).map_err(|error| format!("{path} cannot be read: {error}"))
    }

    /// Every package of the workspace, and every one that it depends on.
    ///
    /// # Errors
    /// `Cargo.lock` cannot be read.
    pub fn packages(&self) -> Result<Vec<String>, String> {
        let lock = self.text("Cargo.lock")?;
        let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
        Ok(names.map(|name| name.trim_matches('"').to_owned()).collect())
    }

    /// The names of the folders in `functions`.
    pub fn functions(&self) -> Vec<String> {
        let folders = fs::read_dir(self.path("functions")).into_iter().flatten().flatten();
        let folders = folders.filter(|folder| folder.path().is_dir());
        folders
            .map(|folder| folder.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// The paths of its pages, from its folder.
    pub fn pages(&self) -> Vec<String> {
        const NOT_OURS: [&str; 5] = [".git", ".local", ".venv", "node_modules", "target"];
        let (mut pages, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.path(&folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{folder}{name}");
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !NOT_OURS.contains(&&*name) => folders.push(path + "/"),
                    Ok(kind) if kind.is_file() && name.ends_with(".md") => pages.push(path),
                    _ => {}
                }
            }
        }
        pages.sort();
        pages
    }

    /// The files of a folder and its folders, with their paths from there.
    ///
    /// # Errors
    /// One cannot be read, or is not text.
    pub fn texts(&self, folder: &str) -> Result<Vec<(String, String)>, String> {
        let unreadable = |error| format!("{folder} cannot be read: {error}");
        let mut texts = Vec::new();
        for entry in fs::read_dir(self.path(folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                let below = self.texts(&path)?.into_iter();
                texts.extend(below.map(|(file, text)| (format!("{name}/{file}"), text)));
            } else {
                texts.push((name, self.text(&path)?));
            }
        }
        texts.sort();
        Ok(texts)
    }
}
