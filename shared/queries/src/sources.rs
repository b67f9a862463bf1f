//! The sources that have typed queries.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::SystemTime,
};

/// Makes the sources with typed queries newer than what Cargo has built of them, because Cargo does not know that a macro
/// asks a database.
pub fn touch(root: &Path) -> io::Result<()> {
    for folder in ["functions", "shared"] {
        touch_folder(&root.join(folder))?;
    }
    Ok(())
}

fn touch_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            touch_folder(&path)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") && has_query(&path)? {
            File::options()
                .append(true)
                .open(&path)?
                .set_modified(SystemTime::now())?;
        }
    }
    Ok(())
}

/// Whether it has `query!`, `query_as!`, `query_file_scalar!` or another macro of that family.
fn has_query(source: &Path) -> io::Result<bool> {
    let bytes = fs::read(source)?;
    let text = String::from_utf8_lossy(&bytes);
    let is_macro = |(at, _): (usize, &str)| {
        let name_ends = text[at..].trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        name_ends.trim_start().starts_with('!')
    };
    Ok(text.match_indices("query").any(is_macro))
}
