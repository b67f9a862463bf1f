//! The migrations that this process expects: those in the binary, or those of a folder.

use super::{MigrateError, names, script};
use sqlx::migrate::{Migration as File, Migrator};
use std::{borrow::Cow, fs, io, path::Path};

static EMBEDDED: Migrator = sqlx::migrate!("../migrations");

/// The migrations that this process expects.
pub(in crate::database) struct Files(Cow<'static, [File]>);

impl Files {
    /// The embedded migrations, or those in `folder`.
    ///
    /// # Errors
    /// The folder cannot be read, or a name in it is wrong.
    pub async fn read(folder: Option<&str>) -> Result<Self, MigrateError> {
        let Some(folder) = folder else {
            return Ok(Self::embedded());
        };
        let names = names_in(folder).map_err(|error| MigrateError::Files(format!("{folder}: {error}")))?;
        names::check(names.iter().map(String::as_str)).map_err(MigrateError::Files)?;
        let read = Migrator::new(Path::new(folder)).await;
        read.map(|migrator| Self(migrator.migrations))
            .map_err(|error| MigrateError::Files(error.to_string()))
    }

    /// The embedded migrations, whose names the build script has checked.
    pub fn embedded() -> Self {
        Self(Cow::Borrowed(&EMBEDDED.migrations))
    }

    /// The up files, by version.
    pub fn ups(&self) -> impl DoubleEndedIterator<Item = &File> {
        let up = |file: &&File| !file.migration_type.is_down_migration();
        self.0.iter().filter(up)
    }

    pub fn up(&self, version: i64) -> Option<&File> {
        self.ups().find(|file| file.version == version)
    }

    pub fn down(&self, version: i64) -> Option<&File> {
        let down = |file: &&File| file.migration_type.is_down_migration() && file.version == version;
        self.0.iter().find(down)
    }

    /// The newest version; 0 for none.
    pub fn newest(&self) -> i64 {
        self.ups().last().map_or(0, |file| file.version)
    }

    /// The version before a file's, 0 for none.
    pub fn before(&self, file: &File) -> i64 {
        let older = self.ups().rfind(|other| other.version < file.version);
        older.map_or(0, |file| file.version)
    }
}

/// The names of folders end with a slash, so that no folder counts as a migration.
fn names_in(folder: &str) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        Ok(format!("{}{slash}", entry.file_name().to_string_lossy()))
    };
    fs::read_dir(folder)?.map(name).collect()
}

/// A file's name, with four digits at least.
pub(super) fn name(file: &File) -> String {
    let description = file.description.replace(' ', "_");
    format!("{:04}_{description}{}", file.version, file.migration_type.suffix())
}

/// The SQL of a file as it is sent to the server.
///
/// # Errors
/// The file holds something that must not run. The error names the file and the line.
pub(super) fn sql(file: &File) -> Result<Cow<'_, str>, MigrateError> {
    script::read(file.sql.as_str()).map_err(|flaw| MigrateError::Invalid {
        file: name(file),
        line: flaw.line,
        cause: flaw.cause,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, SqlSafeStr, migrate::MigrationType};

    /// Migrations of these versions, with nothing in them.
    pub fn files(versions: &[i64]) -> Files {
        let file = |version: &i64| {
            let sql = AssertSqlSafe(format!("-- {version}")).into_sql_str();
            File::new(*version, "test".into(), MigrationType::ReversibleUp, sql, false)
        };
        Files(versions.iter().map(file).collect())
    }

    #[test]
    fn every_migration_of_this_build_can_run_and_has_a_way_back() {
        let files = Files::embedded();
        for up in files.ups() {
            let down = files
                .down(up.version)
                .unwrap_or_else(|| panic!("{} has no .down.sql file", name(up)));
            assert!(sql(up).and(sql(down)).is_ok(), "{}", name(up));
        }
    }
}
