//! The schema: the migrations that this process expects, those that are applied, and how the two compare.

use super::{Reason, Refusal, lock};
use serde::Serialize;
use sqlx::{
    PgConnection, Row,
    migrate::{Migration as File, Migrator},
};
use std::{borrow::Cow, path::Path};

static EMBEDDED: Migrator = sqlx::migrate!("../migrations");

/// The migrations that this process expects.
pub(super) struct Files(Cow<'static, [File]>);

impl Files {
    /// Those in the binary, or those in `folder`.
    pub async fn read(folder: Option<&str>) -> Result<Self, Refusal> {
        let Some(folder) = folder else {
            return Ok(Self(Cow::Borrowed(&EMBEDDED.migrations)));
        };
        let read = Migrator::new(Path::new(folder)).await;
        read.map(|migrator| Self(migrator.migrations))
            .map_err(|error| Refusal::Files(error.to_string()))
    }

    /// The ways up, by version.
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
}

/// A file's name, as the house writes them: four digits at least.
pub(super) fn name(file: &File) -> String {
    let description = file.description.replace(' ', "_");
    format!("{:04}_{description}{}", file.version, file.migration_type.suffix())
}

/// How the schema in the database relates to the one of this build.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schema {
    /// The newest version applied, whole; 0 for none.
    pub current: i64,
    /// The newest version of this build.
    pub expected: i64,
    /// What is wrong with it, if anything.
    #[serde(skip)]
    pub fault: Option<Reason>,
}

impl Schema {
    /// A newer release has migrated already: this build should still work, and will be replaced soon.
    pub fn is_ahead(&self) -> bool {
        self.fault.is_none() && self.current > self.expected
    }
}

/// One migration, of this build or of the database.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Migration {
    /// The number that its file's name begins with.
    pub version: i64,
    /// The rest of the name, or nothing where this build has no such file.
    pub description: String,
    /// Where it stands.
    pub state: MigrationState,
}

/// Where a migration stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// In the database as in this build.
    Applied,
    /// Not in the database yet.
    Pending,
    /// Failed halfway.
    Dirty,
    /// Applied from another file than this build has.
    Drifted,
    /// Applied by a newer release.
    Ahead,
}

impl MigrationState {
    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Dirty => "dirty",
            Self::Drifted => "drifted",
            Self::Ahead => "ahead",
        }
    }
}

/// A row of the table in which sqlx keeps what is applied.
pub(super) struct Applied {
    pub version: i64,
    pub success: bool,
    pub checksum: Vec<u8>,
}

/// The rows by version; none where there is no such table yet; without what another migrator is at just now. In the simple protocol, which takes one round trip and no
/// prepared statement: a pooler in transaction mode can answer it too.
pub(super) async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    let rows = sqlx::raw_sql("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(&mut *connection)
        .await;
    let rows = match rows {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Vec::new(),
        rows => rows?,
    };
    let rows = rows.iter().map(|row| {
        Ok(Applied {
            version: row.try_get("version")?,
            success: row.try_get("success")?,
            checksum: row.try_get("checksum")?,
        })
    });
    let mut rows = rows.collect::<Result<Vec<Applied>, sqlx::Error>>()?;
    if rows.iter().any(|row| !row.success) && lock::is_held_by_another(connection).await? {
        rows.retain(|row| row.success);
    }
    Ok(rows)
}

pub(super) fn compare(files: &Files, applied: &[Applied]) -> Schema {
    let states = states(files, applied);
    let any = |state| states.iter().any(|migration| migration.state == state);
    let fault = if any(MigrationState::Dirty) {
        Some(Reason::SchemaDirty)
    } else if any(MigrationState::Drifted) {
        Some(Reason::SchemaDrift)
    } else if any(MigrationState::Pending) {
        Some(Reason::SchemaBehind)
    } else {
        None
    };
    Schema {
        current: applied.iter().rfind(|row| row.success).map_or(0, |row| row.version),
        expected: files.newest(),
        fault,
    }
}

/// Every migration of this build and of the database, by version.
pub(super) fn states(files: &Files, applied: &[Applied]) -> Vec<Migration> {
    let pending = files
        .ups()
        .filter(|file| applied.iter().all(|row| row.version != file.version));
    let pending = pending.map(|file| (file.version, MigrationState::Pending));
    let applied = applied.iter().map(|row| {
        let state = match files.up(row.version) {
            // Even where it failed halfway: that is no reason to take this release down.
            None if row.version > files.newest() => MigrationState::Ahead,
            _ if !row.success => MigrationState::Dirty,
            Some(file) if *file.checksum == *row.checksum => MigrationState::Applied,
            _ => MigrationState::Drifted,
        };
        (row.version, state)
    });
    let mut states: Vec<(i64, MigrationState)> = applied.chain(pending).collect();
    states.sort_by_key(|(version, _)| *version);
    let described = states.into_iter().map(|(version, state)| Migration {
        version,
        description: files
            .up(version)
            .map_or_else(String::new, |file| file.description.to_string()),
        state,
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Files {
        Files(Cow::Borrowed(&EMBEDDED.migrations))
    }

    fn row(version: i64) -> Applied {
        Applied {
            version,
            success: true,
            checksum: embedded()
                .up(version)
                .map_or_else(Vec::new, |file| file.checksum.to_vec()),
        }
    }

    fn current() -> Vec<Applied> {
        embedded().ups().map(|file| row(file.version)).collect()
    }

    fn fault_with(row: Applied) -> Option<Reason> {
        let mut rows = current();
        rows.retain(|other| other.version != row.version);
        rows.push(row);
        compare(&embedded(), &rows).fault
    }

    #[test]
    fn an_empty_database_is_behind() {
        let schema = compare(&embedded(), &[]);
        assert_eq!((schema.fault, schema.current), (Some(Reason::SchemaBehind), 0));
    }

    #[test]
    fn a_failed_a_changed_and_an_unknown_old_migration_are_told_apart() {
        let failed = Applied {
            success: false,
            ..row(1)
        };
        assert_eq!(fault_with(failed), Some(Reason::SchemaDirty));
        let changed = Applied {
            checksum: vec![0],
            ..row(1)
        };
        assert_eq!(fault_with(changed), Some(Reason::SchemaDrift));
        assert_eq!(fault_with(row(0)), Some(Reason::SchemaDrift));
    }

    #[test]
    fn a_schema_is_current_or_ahead_without_a_fault() {
        let schema = compare(&embedded(), &current());
        assert_eq!(schema.fault, None);
        assert!(!schema.is_ahead());
        let mut rows = current();
        rows.push(row(schema.expected + 1));
        assert!(compare(&embedded(), &rows).is_ahead());
    }

    #[test]
    fn every_migration_has_a_way_back() {
        for file in embedded().ups() {
            assert!(embedded().down(file.version).is_some(), "{}", name(file));
        }
    }
}
