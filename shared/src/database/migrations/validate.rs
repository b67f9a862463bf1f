//! Compares the records with the files: what is pending, and what makes a run impossible.

use super::{
    MigrateError,
    files::{Files, name},
    no_transaction::dirty,
    schema::{MigrationState, states},
    table::Applied,
};
use sqlx::{PgConnection, migrate::Migration};

/// An error unless the recorded migrations are the first of the files.
pub(super) async fn validate(
    files: &Files,
    rows: &[Applied],
    connection: &mut PgConnection,
) -> Result<(), MigrateError> {
    for migration in states(files, rows) {
        match (migration.state, files.up(migration.version)) {
            (MigrationState::Dirty, Some(file)) => return Err(dirty(files, file, None, connection).await?),
            (MigrationState::Drifted, Some(file)) => return Err(MigrateError::Drift { file: name(file) }),
            (MigrationState::Dirty | MigrationState::Drifted, None) => {
                return Err(MigrateError::Missing(migration.version));
            }
            _ => {}
        }
    }
    let newest = newest(rows);
    match pending(files, rows).next() {
        Some(file) if file.version < newest => Err(MigrateError::OutOfOrder {
            file: name(file),
            newest,
        }),
        _ => Ok(()),
    }
}

/// The files that are not recorded.
pub(super) fn pending<'a>(files: &'a Files, rows: &'a [Applied]) -> impl Iterator<Item = &'a Migration> {
    let is_applied = |version| rows.iter().any(|row| row.version == version);
    files.ups().filter(move |file| !is_applied(file.version))
}

/// The pending files up to a version.
pub(super) fn bounded<'a>(
    files: &'a Files,
    rows: &'a [Applied],
    to: Option<i64>,
) -> Result<Vec<&'a Migration>, MigrateError> {
    if let Some(version) = to
        && files.up(version).is_none()
    {
        return Err(MigrateError::NoSuchVersion(version));
    }
    let within = |file: &&Migration| to.is_none_or(|to| file.version <= to);
    Ok(pending(files, rows).filter(within).collect())
}

/// An error if a newer release has migrated, whose migrations this one must not revert.
pub(super) fn refuse_ahead(files: &Files, rows: &[Applied]) -> Result<(), MigrateError> {
    let (current, expected) = (newest(rows), files.newest());
    if current > expected {
        return Err(MigrateError::Ahead { current, expected });
    }
    Ok(())
}

/// The newest version that is recorded, dirty or not.
fn newest(rows: &[Applied]) -> i64 {
    rows.last().map_or(0, |row| row.version)
}
