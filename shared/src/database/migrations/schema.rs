//! The schema: how the migrations that this process expects compare with those that are applied.

use super::{Reason, files::Files, table::Applied};
use crate::closed_set;
use serde::Serialize;

/// How the schema in the database relates to the one of this build.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schema {
    /// The newest version applied, whole; 0 for none.
    pub current: i64,
    /// The newest version of this build.
    pub expected: i64,
    /// Why the schema cannot be used, if anything is wrong.
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

closed_set! {
    /// Where a migration stands.
    pub enum MigrationState {
        /// In the database as in this build.
        Applied = "applied",
        /// Not in the database yet.
        Pending = "pending",
        /// Failed halfway.
        Dirty = "dirty",
        /// Applied from another file than this build has.
        Drifted = "drifted",
        /// Applied by a newer release.
        Ahead = "ahead",
    }
}

pub(in crate::database) fn compare(files: &Files, applied: &[Applied]) -> Schema {
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
            // Even if it failed halfway: that must not take this older release down.
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
    use crate::database::migrations::files::tests::files;

    const VERSIONS: [i64; 2] = [1, 2];

    fn row(version: i64) -> Applied {
        Applied {
            version,
            success: true,
            checksum: files(&VERSIONS)
                .up(version)
                .map_or_else(Vec::new, |file| file.checksum.to_vec()),
        }
    }

    fn current() -> Vec<Applied> {
        VERSIONS.map(row).into()
    }

    fn fault_with(row: Applied) -> Option<Reason> {
        let mut rows = current();
        rows.retain(|other| other.version != row.version);
        rows.push(row);
        compare(&files(&VERSIONS), &rows).fault
    }

    #[test]
    fn an_empty_database_is_behind() {
        let schema = compare(&files(&VERSIONS), &[]);
        assert_eq!((schema.fault, schema.current), (Some(Reason::SchemaBehind), 0));
    }

    #[test]
    fn a_failed_a_changed_and_an_unknown_old_migration_have_different_faults() {
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
        let schema = compare(&files(&VERSIONS), &current());
        assert_eq!(schema.fault, None);
        assert!(!schema.is_ahead());
        let mut rows = current();
        rows.push(row(schema.expected + 1));
        assert!(compare(&files(&VERSIONS), &rows).is_ahead());
    }
}
