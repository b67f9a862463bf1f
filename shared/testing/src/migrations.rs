//! The files of `migrations/`, from which tests derive what a migrated database has.

use std::{fs, path::Path};

/// A migration's way up.
pub struct MigrationFile {
    /// The number that the file's name begins with.
    pub version: i64,
    /// The rest of the name, with blanks for underscores.
    pub description: String,
    /// The content.
    pub sql: String,
}

/// The ways up of this checkout, by version.
pub fn migrations() -> Vec<MigrationFile> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = package.ancestors().map(|folder| folder.join("migrations"));
    let folder = folders.find(|folder| folder.is_dir()).expect("migrations/ exists");
    let files = fs::read_dir(folder).expect("migrations/ can be read").flatten();
    let mut migrations: Vec<_> = files.filter_map(|file| up(&file.path())).collect();
    migrations.sort_by_key(|migration| migration.version);
    migrations
}

/// The version that a migrated database has; 0 without migrations.
pub fn newest_migration() -> i64 {
    migrations().last().map_or(0, |migration| migration.version)
}

fn up(file: &Path) -> Option<MigrationFile> {
    let name = file.file_name()?.to_str()?.strip_suffix(".sql")?;
    let name = name
        .strip_suffix(".up")
        .or(Some(name).filter(|name| !name.ends_with(".down")))?;
    let (version, description) = name.split_once('_')?;
    Some(MigrationFile {
        version: version.parse().ok()?,
        description: description.replace('_', " "),
        sql: fs::read_to_string(file).ok()?,
    })
}
