//! The schema: the migrations that this build expects, those that are applied, and the way from one to the other.

use super::{Database, Reason, logged};
use serde::Serialize;
use sqlx::{
    Connection, PgConnection,
    migrate::{Migrate, Migrator},
};
use std::time::Instant;

/// The migrations that this build expects, embedded from `migrations/`.
static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How the schema in the database relates to the one of this build.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Schema {
    /// The newest version applied; 0 for none.
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

/// What `migrate up` did.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Run {
    /// The version before, 0 for none.
    pub version_before: i64,
    /// The version reached.
    pub version_after: i64,
    /// From the lock to the last commit.
    pub duration_ms: i64,
}

impl Database {
    /// Every migration of this build and of the database, by version.
    ///
    /// # Errors
    /// The reason; the cause is logged.
    pub async fn migrations(&self) -> Result<Vec<Migration>, Reason> {
        let mut connection = self.connect().await?;
        let rows = applied(&mut connection).await.map_err(|error| logged(&error))?;
        Ok(states(&rows))
    }

    /// Applies what is pending, each file in a transaction of its own, and records the run under `release` if it changed
    /// anything. Many may call it at once: one works, the others wait for its lock and find nothing to do.
    ///
    /// # Errors
    /// The reason; the cause is logged. `SchemaDirty` and `SchemaDrift` change nothing.
    pub async fn migrate(&self, release: &str) -> Result<Run, Reason> {
        let mut connection = self.connect().await?;
        // Taken before the look at what is applied, so that one of many migrators reports and records the run. The lock ends
        // with the connection, whatever fails.
        connection.lock().await.map_err(|error| refused(&error))?;
        let start = Instant::now();
        let before = applied(&mut connection).await.map_err(|error| logged(&error))?;
        MIGRATOR.run(&mut connection).await.map_err(|error| refused(&error))?;
        let after = applied(&mut connection).await.map_err(|error| logged(&error))?;
        let run = Run {
            version_before: compare(&before).current,
            version_after: compare(&after).current,
            duration_ms: start.elapsed().as_millis() as i64,
        };
        if run.version_after != run.version_before {
            record(&mut connection, release, run)
                .await
                .map_err(|error| logged(&error))?;
        }
        connection.close().await.map_err(|error| logged(&error))?;
        Ok(run)
    }
}

async fn record(connection: &mut PgConnection, release: &str, run: Run) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO migration_runs (started_at, duration_ms, release, version_before, version_after)
         VALUES (now() - $1 * interval '1 millisecond', $1, $2, $3, $4)",
    )
    .bind(run.duration_ms)
    .bind(release)
    .bind(run.version_before)
    .bind(run.version_after)
    .execute(connection)
    .await
    .map(drop)
}

/// A row of the table in which sqlx keeps what is applied.
#[derive(sqlx::FromRow)]
pub(super) struct Applied {
    version: i64,
    success: bool,
    checksum: Vec<u8>,
}

/// The rows by version; none where there is no such table yet.
pub(super) async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    let rows = sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await;
    match rows {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(Vec::new()),
        rows => rows,
    }
}

fn own() -> impl Iterator<Item = &'static sqlx::migrate::Migration> {
    MIGRATOR
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
}

pub(super) fn compare(applied: &[Applied]) -> Schema {
    let states = states(applied);
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
        current: applied.last().map_or(0, |row| row.version),
        expected: own().last().map_or(0, |migration| migration.version),
        fault,
    }
}

fn states(applied: &[Applied]) -> Vec<Migration> {
    let newest = own().last().map_or(0, |migration| migration.version);
    let pending = own().filter(|migration| applied.iter().all(|row| row.version != migration.version));
    let pending = pending.map(|migration| (migration.version, MigrationState::Pending));
    let applied = applied.iter().map(|row| {
        let file = own().find(|migration| migration.version == row.version);
        let state = match file {
            _ if !row.success => MigrationState::Dirty,
            Some(file) if *file.checksum == *row.checksum => MigrationState::Applied,
            None if row.version > newest => MigrationState::Ahead,
            _ => MigrationState::Drifted,
        };
        (row.version, state)
    });
    let mut states: Vec<(i64, MigrationState)> = applied.chain(pending).collect();
    states.sort_by_key(|(version, _)| *version);
    let described = states.into_iter().map(|(version, state)| Migration {
        version,
        description: own()
            .find(|migration| migration.version == version)
            .map_or_else(String::new, |migration| migration.description.to_string()),
        state,
    });
    described.collect()
}

fn refused(error: &sqlx::migrate::MigrateError) -> Reason {
    use sqlx::migrate::MigrateError;
    let reason = match error {
        MigrateError::Execute(error) => return logged(error),
        MigrateError::Dirty(_) => Reason::SchemaDirty,
        MigrateError::VersionMismatch(_) | MigrateError::VersionMissing(_) => Reason::SchemaDrift,
        _ => Reason::Error,
    };
    tracing::error!(reason = reason.as_str(), cause = %error, "the migrations were refused");
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i64) -> Applied {
        let file = own().find(|migration| migration.version == version);
        Applied {
            version,
            success: true,
            checksum: file.map_or_else(Vec::new, |migration| migration.checksum.to_vec()),
        }
    }

    fn current() -> Vec<Applied> {
        own().map(|migration| row(migration.version)).collect()
    }

    fn fault_with(row: Applied) -> Option<Reason> {
        let mut rows = current();
        rows.retain(|other| other.version != row.version);
        rows.push(row);
        compare(&rows).fault
    }

    #[test]
    fn an_empty_database_is_behind() {
        assert_eq!(compare(&[]).fault, Some(Reason::SchemaBehind));
        assert_eq!(compare(&[]).current, 0);
    }

    #[test]
    fn a_failed_a_changed_and_an_unknown_old_migration_are_told_apart() {
        assert_eq!(
            fault_with(Applied {
                success: false,
                ..row(1)
            }),
            Some(Reason::SchemaDirty)
        );
        assert_eq!(
            fault_with(Applied {
                checksum: vec![0],
                ..row(1)
            }),
            Some(Reason::SchemaDrift)
        );
        assert_eq!(fault_with(row(0)), Some(Reason::SchemaDrift));
    }

    #[test]
    fn a_schema_is_current_or_ahead_without_a_fault() {
        assert_eq!(compare(&current()).fault, None);
        assert!(!compare(&current()).is_ahead());
        let newest = compare(&current()).expected;
        let mut rows = current();
        rows.push(row(newest + 1));
        assert!(compare(&rows).is_ahead());
    }
}
