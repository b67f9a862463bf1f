//! The way from one schema to another: up, down, stamp, and what they would do or have done.

use super::{
    Database, Refusal,
    apply::Applier,
    history::record,
    lock,
    outside::invalid_indexes,
    schema::{Applied, Files, Migration, Schema, applied, compare, name, states},
    survey::{bounded, pending, refuse_ahead},
};
use crate::config;
use serde::Serialize;
use sqlx::{Connection, PgConnection, migrate::Migrate};
use std::time::Instant;

/// Changes the schema. Any number may run at once: one works, the others wait for its lock.
#[derive(Clone)]
pub struct Migrator {
    pub(super) database: Database,
    settings: config::Migrate,
    release: String,
}

/// What a run did. Before and after are equal where there was nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Run {
    /// The version before, 0 for none.
    pub version_before: i64,
    /// The version reached.
    pub version_after: i64,
    /// From the lock to the last commit.
    pub duration_ms: i64,
    /// A newer release has migrated already.
    #[serde(skip)]
    pub ahead: bool,
}

/// A file that `up` would run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct File {
    /// Its name in the folder of migrations.
    pub file: String,
    /// Does it run in a transaction?
    pub transaction: bool,
    /// What it runs.
    pub sql: String,
}

enum Change {
    Up(Option<i64>),
    Down(usize),
    Stamp(i64),
}

impl Database {
    /// A migrator that records its runs under `release`.
    pub fn migrator(&self, settings: config::Migrate, release: &str) -> Migrator {
        Migrator {
            database: self.clone(),
            settings,
            release: release.to_owned(),
        }
    }
}

impl Migrator {
    /// Applies what is pending, up to and with version `to`. A database that is ahead is left as it is.
    ///
    /// # Errors
    /// What stopped it. The files before it stay applied.
    pub async fn up(&self, to: Option<i64>) -> Result<Run, Refusal> {
        self.run(Change::Up(to)).await
    }

    /// Reverts the newest `count` migrations.
    ///
    /// # Errors
    /// What stopped it. The files before it stay reverted.
    pub async fn down(&self, count: usize) -> Result<Run, Refusal> {
        self.run(Change::Down(count)).await
    }

    /// Records that the schema is at `version`, whatever was recorded before, and runs nothing: for a database that was
    /// migrated by hand.
    ///
    /// # Errors
    /// What stopped it. Nothing is changed then.
    pub async fn stamp(&self, version: i64) -> Result<Run, Refusal> {
        self.run(Change::Stamp(version)).await
    }

    /// What `up` would run now.
    ///
    /// # Errors
    /// What would stop `up`.
    pub async fn plan(&self) -> Result<Vec<File>, Refusal> {
        let files = self.database.files().await?;
        let mut connection = self.database.connect().await?;
        let rows = applied(&mut connection).await?;
        self.applier(files, &mut connection).survey(&rows).await?;
        let planned = pending(files, &rows).map(|file| File {
            file: name(file),
            transaction: !file.no_tx,
            sql: file.sql.as_str().to_owned(),
        });
        Ok(planned.collect())
    }

    /// The schema, every migration of this build and of the database by version, and the indexes left INVALID.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn status(&self) -> Result<(Schema, Vec<Migration>, Option<String>), Refusal> {
        let files = self.database.files().await?;
        let mut connection = self.database.connect().await?;
        let rows = applied(&mut connection).await?;
        let invalid = invalid_indexes(&mut connection).await?;
        Ok((compare(files, &rows), states(files, &rows), invalid))
    }

    /// On a connection of its own: whatever happens to it, its lock ends with it.
    async fn run(&self, change: Change) -> Result<Run, Refusal> {
        let files = self.database.files().await?;
        let mut connection = self.database.connect().await?;
        let rows = applied(&mut connection).await?;
        // Nothing to do needs no lock: a job that runs twice costs one query.
        if let Change::Up(to) = change
            && bounded(files, &rows, to)?.is_empty()
        {
            self.applier(files, &mut connection).survey(&rows).await?;
            return Ok(nothing_to_do(files, &rows));
        }
        lock::refuse_pooler(&self.database, &mut connection).await?;
        lock::acquire(&mut connection, self.settings.wait).await?;
        let start = Instant::now();
        connection
            .ensure_migrations_table("_sqlx_migrations")
            .await
            .map_err(|error| match error {
                sqlx::migrate::MigrateError::Execute(error) => error,
                other => sqlx::Error::Migrate(Box::new(other)),
            })?;
        let before = applied(&mut connection).await?;
        let done = self.change(files, &before, &change, &mut connection).await;
        let after = applied(&mut connection).await;
        let mut run = nothing_to_do(files, &before);
        if let Ok(after) = &after {
            run.version_after = compare(files, after).current;
            run.duration_ms = start.elapsed().as_millis() as i64;
        }
        // Files that were applied before the one that failed are history too.
        if run.version_after != run.version_before {
            record(&mut connection, &self.release, run).await?;
        }
        done?;
        after?;
        connection.close().await?;
        Ok(run)
    }

    async fn change(
        &self,
        files: &Files,
        rows: &[Applied],
        change: &Change,
        connection: &mut PgConnection,
    ) -> Result<(), Refusal> {
        let selected = match change {
            Change::Stamp(version) => return stamp(files, rows, *version, connection).await,
            Change::Up(to) => {
                self.applier(files, connection).survey(rows).await?;
                bounded(files, rows, *to)?
            }
            Change::Down(count) => {
                self.applier(files, connection).survey(rows).await?;
                refuse_ahead(files, rows)?;
                let newest = rows.iter().rev().take(*count);
                let back = newest.map(|row| files.down(row.version).ok_or(Refusal::Irreversible(row.version)));
                back.collect::<Result<_, _>>()?
            }
        };
        for file in selected {
            self.applier(files, connection).run(file).await?;
        }
        Ok(())
    }

    fn applier<'a>(&self, files: &'a Files, connection: &'a mut PgConnection) -> Applier<'a> {
        Applier {
            connection,
            files,
            settings: self.settings,
        }
    }
}

/// All or nothing: the files up to `version` are recorded as applied as they are, later ones as not applied.
async fn stamp(files: &Files, rows: &[Applied], version: i64, connection: &mut PgConnection) -> Result<(), Refusal> {
    refuse_ahead(files, rows)?;
    if version != 0 && files.up(version).is_none() {
        return Err(Refusal::NoSuchVersion(version));
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version > $1")
        .bind(version)
        .execute(&mut *transaction)
        .await?;
    for file in files.ups().filter(|file| file.version <= version) {
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, true, $3, -1) ON CONFLICT (version) DO UPDATE SET success = true, checksum = $3",
        )
        .bind(file.version)
        .bind(&*file.description)
        .bind(&*file.checksum)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

fn nothing_to_do(files: &Files, rows: &[Applied]) -> Run {
    let schema = compare(files, rows);
    Run {
        version_before: schema.current,
        version_after: schema.current,
        duration_ms: 0,
        ahead: schema.is_ahead(),
    }
}
