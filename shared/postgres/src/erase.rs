//! Deletes the data of a server that nobody uses.

use super::{Error, PrivatePostgres, home::Home, users::Users};
use std::{
    fs,
    path::{Path, PathBuf},
};

impl PrivatePostgres {
    /// Deletes the data in a home, of every version of Postgres; its next start makes a new database. Returns the folders
    /// that were deleted. A server that outlived its last user is stopped before.
    ///
    /// # Errors
    /// Somebody uses the server, or something in the home is not its data: then nothing is deleted.
    pub fn erase(home: &Path) -> Result<Vec<PathBuf>, Error> {
        let Some(home) = Home::find(home)? else {
            return Ok(Vec::new());
        };
        let users = Users::new(home.control().unwrap_or(home.path()));
        let _lock = users.lock()?;
        if users.any()? {
            return Err(Error::InUse(home.path().to_owned()));
        }
        let found = data(home.path())?;
        for data in &found {
            Self::at(&home, data.clone())?.stop_previous();
        }
        for data in &found {
            fs::remove_dir_all(data).map_err(|error| Error::Io(data.clone(), error))?;
        }
        Ok(found)
    }
}

/// The folders of data in a home; also those that initdb did not finish.
fn data(home: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| Error::Io(home.to_owned(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(home).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().to_string_lossy().starts_with("data-") {
            continue;
        }
        // Behind a link there may be anything.
        if !entry.file_type().map_err(io)?.is_dir() {
            return Err(Error::NotOurs(entry.path()));
        }
        found.push(entry.path());
    }
    found.sort();
    Ok(found)
}
