//! The migrator: up, down and stamp, which change the schema, and plan and status, which read it.

use super::{
    Database, MigrateError, MigratorSettings,
    files::{name, sql},
    limit::Limit,
    no_transaction::invalid_indexes,
    schema::{Migration, Schema, compare, states},
    table::{Applied, applied},
    validate::{pending, validate},
};
use crate::deadline::Deadline;
use serde::Serialize;
use sqlx::PgConnection;

/// Changes the schema. Several may run at the same time: one works, the others wait for its lock.
#[derive(Clone)]
pub struct Migrator {
    pub(super) database: Database,
    pub(super) settings: MigratorSettings,
    pub(super) limit: Limit,
    pub(super) release: String,
}

/// What a run did. If there was nothing to do, both versions are equal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Run {
    /// The version before, 0 for none.
    pub version_before: i64,
    /// The version reached.
    pub version_after: i64,
    /// The time from the lock to the last commit, in ms.
    pub duration_ms: i64,
    /// A newer release has migrated already.
    #[serde(skip)]
    pub ahead: bool,
}

/// A file that `up` would run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct File {
    /// The file's name in the folder of migrations.
    pub file: String,
    /// Whether the file runs in a transaction.
    pub transaction: bool,
    /// The SQL that `up` would run.
    pub sql: String,
}

/// What a run changes.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Up(Option<i64>),
    Down(usize),
    Stamp(i64),
}

impl Database {
    /// A migrator that records its runs under `release`.
    pub fn migrator(&self, settings: MigratorSettings, release: &str) -> Migrator {
        Migrator {
            database: self.clone(),
            settings,
            limit: Limit::default(),
            release: release.to_owned(),
        }
    }
}

impl Migrator {
    /// The same, for a run that may take no longer than `deadline`.
    pub fn within(&self, deadline: Deadline) -> Self {
        Self {
            limit: Limit::new(deadline),
            ..self.clone()
        }
    }

    /// Applies what is pending, up to and with version `to`. A database that is ahead is left as it is.
    ///
    /// # Errors
    /// What stopped it. The files before it stay applied.
    pub async fn up(&self, to: Option<i64>) -> Result<Run, MigrateError> {
        self.run(Change::Up(to)).await
    }

    /// Reverts the newest `count` migrations.
    ///
    /// # Errors
    /// What stopped it. The files before it stay reverted.
    pub async fn down(&self, count: usize) -> Result<Run, MigrateError> {
        self.run(Change::Down(count)).await
    }

    /// Records that the schema is at `version`, whatever was recorded before, and runs nothing: for a database that was
    /// migrated by hand.
    ///
    /// # Errors
    /// What stopped it. Nothing is changed then.
    pub async fn stamp(&self, version: i64) -> Result<Run, MigrateError> {
        self.run(Change::Stamp(version)).await
    }

    /// What `up` would run now.
    ///
    /// # Errors
    /// What would stop `up`.
    pub async fn plan(&self) -> Result<Vec<File>, MigrateError> {
        self.limit.during(self.read_plan()).await?
    }

    async fn read_plan(&self) -> Result<Vec<File>, MigrateError> {
        let files = self.database.files().await?;
        let (mut connection, rows) = self.look().await?;
        validate(files, &rows, &mut connection).await?;
        let planned = pending(files, &rows).map(|file| {
            sql(file)?;
            Ok(File {
                file: name(file),
                transaction: !file.no_tx,
                sql: file.sql.as_str().to_owned(),
            })
        });
        planned.collect()
    }

    /// The schema, every migration of this build and of the database by version, and the indexes left INVALID.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn status(&self) -> Result<(Schema, Vec<Migration>, Option<String>), MigrateError> {
        self.limit.during(self.read_status()).await?
    }

    async fn read_status(&self) -> Result<(Schema, Vec<Migration>, Option<String>), MigrateError> {
        let files = self.database.files().await?;
        let (mut connection, rows) = self.look().await?;
        let invalid = invalid_indexes(&mut connection).await?;
        Ok((compare(files, &rows), states(files, &rows), invalid))
    }

    pub(super) async fn look(&self) -> Result<(PgConnection, Vec<Applied>), MigrateError> {
        let mut connection = self.database.connect().await?;
        let rows = applied(&mut connection).await?;
        Ok((connection, rows))
    }
}
