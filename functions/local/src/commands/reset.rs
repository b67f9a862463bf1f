//! `local reset`: empties the private database and the private bucket. Never those that the environment names.

use super::{end, folder::LocalFolder, refuse};
use postgres::PrivatePostgres;
use shared::config::Env;
use std::{fs, io, path::Path, process::ExitCode};

/// Deletes the data, and prints what was deleted.
pub fn run(env: &Env) -> ExitCode {
    let deleted = match reset(&LocalFolder::from_env(env)) {
        Ok(deleted) => deleted,
        Err(sentence) => return refuse(&sentence),
    };
    let deleted: Vec<String> = deleted.iter().map(|what| format!("deleted {what}")).collect();
    let all = deleted.join("\n");
    end(
        if all.is_empty() { "nothing to delete" } else { &all },
        ExitCode::SUCCESS,
    )
}

/// Checks everything before it deletes anything. The lock is held to the end, so that nothing starts meanwhile.
fn reset(folder: &LocalFolder) -> Result<Vec<String>, String> {
    let Some(_lock) = folder.take()? else {
        return Ok(Vec::new());
    };
    let bucket = folder.bucket();
    let has_bucket = folder.is_ours(&bucket)?;
    let databases = PrivatePostgres::erase(&folder.postgres()).map_err(|error| error.to_string())?;
    let databases = databases
        .iter()
        .map(|data| format!("the database in {}", data.display()));
    let mut deleted: Vec<String> = databases.collect();
    if has_bucket {
        let emptied = empty(&bucket).map_err(|error| format!("cannot empty {}: {error}", bucket.display()))?;
        deleted.extend(emptied);
    }
    Ok(deleted)
}

/// Deletes what a bucket writes into its folder: objects and unfinished uploads. Links are deleted, and not followed.
fn empty(bucket: &Path) -> io::Result<Option<String>> {
    let objects = count(&bucket.join("objects"))?;
    let mut is_empty = true;
    for name in ["objects", ".pilotlight"] {
        match fs::remove_dir_all(bucket.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => {
                removed?;
                is_empty = false;
            }
        }
    }
    Ok((!is_empty).then(|| format!("the bucket in {}: {objects} objects", bucket.display())))
}

/// The files below a path, which may be one itself.
fn count(path: &Path) -> io::Result<usize> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => Ok(1),
        Ok(_) => fs::read_dir(path)?.map(|entry| count(&entry?.path())).sum(),
    }
}
