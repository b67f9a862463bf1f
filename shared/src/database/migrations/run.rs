//! A run: reads what is applied, takes the lock, runs files, and records the run.

use super::{
    MigrateError, Migrator,
    files::{Files, sql},
    history::record_run,
    in_transaction::{Applier, execute},
    lock,
    migrator::{Change, Run},
    schema::compare,
    session::Session,
    table::{Applied, Table, applied},
    validate::{bounded, refuse_ahead, validate},
};
use sqlx::{Connection, PgConnection, migrate::Migration};
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, sleep, timeout};

impl Migrator {
    /// Once it returns, its locks are free, and no session is left that a frozen process would hold open.
    pub(super) async fn run(&self, change: Change) -> Result<Run, MigrateError> {
        let done = self.run_in_time(change).await;
        let _ = timeout(self.limit.grace(), self.database.until_jobs_have_left()).await;
        done
    }

    /// Runs the change within its time. When the time is over, the running statement is cancelled in the server, and there is
    /// some time left to roll it back.
    async fn run_in_time(&self, change: Change) -> Result<Run, MigrateError> {
        let mut work = pin!(self.work(change));
        tokio::select! {
            done = &mut work => return done,
            () = self.limit.ended() => tracing::warn!(cause = self.limit.cause(), "stopping"),
        }
        let given_up = "the server ends what runs when it notices; the next run finds out what is left";
        let cancelled = async {
            tokio::select! {
                done = work => Some(done),
                () = self.keep_cancelling() => None,
            }
        };
        let done = timeout(self.limit.grace(), cancelled).await.unwrap_or_default();
        done.unwrap_or_else(|| Err(self.limit.stopped(given_up)))
    }

    /// The server forgets a request that comes between two statements. Ends where it takes no connection for one.
    async fn keep_cancelling(&self) {
        loop {
            if self.limit.is_running().await {
                let Ok(mut other) = self.database.connect().await else {
                    return;
                };
                let cancel = async |session| {
                    let _ = execute(&format!("SELECT pg_catalog.pg_cancel_backend({session})"), &mut other).await;
                };
                self.limit.cancel(cancel).await;
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Uses connections outside the pool: whatever happens to the run, its lock ends with them.
    async fn work(&self, change: Change) -> Result<Run, MigrateError> {
        let files = self.database.files().await?;
        let (mut connection, rows) = self.limit.during(self.look()).await??;
        // Nothing to do needs no lock: a job that runs twice costs one query.
        if let Change::Up(to) = change
            && bounded(files, &rows, to)?.is_empty()
        {
            validate(files, &rows, &mut connection).await?;
            return Ok(nothing_to_do(files, &rows));
        }
        let session = self.limit.during(self.lock(connection)).await??;
        self.under_lock(files, change, session).await
    }

    async fn under_lock(&self, files: &Files, change: Change, mut session: Session) -> Result<Run, MigrateError> {
        let start = Instant::now();
        let table = Table::find_or_create(&mut session.connection).await?;
        let before = applied(&mut session.connection).await?;
        let mut applier = Applier {
            migrator: self,
            files,
            session,
        };
        let done = applier.change(&before, &change, &table).await;
        let connection = &mut applier.session.connection;
        let after = applied(connection).await;
        let mut run = nothing_to_do(files, &before);
        if let Ok(after) = &after {
            run.version_after = compare(files, after).current;
            run.duration_ms = start.elapsed().as_millis() as i64;
        }
        // A run that failed is recorded too, if files before the failed one were applied.
        let recorded = if run.version_after == run.version_before {
            Ok(())
        } else {
            record_run(connection, &self.release, run).await
        };
        done?;
        after?;
        recorded?;
        let _ = applier.session.connection.close().await;
        Ok(run)
    }

    async fn lock(&self, mut connection: PgConnection) -> Result<Session, MigrateError> {
        lock::refuse_pooler(&self.database, &mut connection).await?;
        let mut session = Session::new(connection).await?;
        lock::acquire(&mut session.connection, self.settings.wait).await?;
        Ok(session)
    }
}

impl Applier<'_> {
    async fn change(&mut self, rows: &[Applied], change: &Change, table: &Table) -> Result<(), MigrateError> {
        let files = self.files;
        let connection = &mut self.session.connection;
        let selected = match change {
            Change::Stamp(version) => return stamp(files, rows, *version, table, connection).await,
            Change::Up(to) => {
                validate(files, rows, connection).await?;
                bounded(files, rows, *to)?
            }
            Change::Down(count) => {
                validate(files, rows, connection).await?;
                refuse_ahead(files, rows)?;
                let newest = rows.iter().rev().take(*count);
                let back = newest.map(|row| files.down(row.version).ok_or(MigrateError::Irreversible(row.version)));
                back.collect::<Result<_, _>>()?
            }
        };
        // All files are checked before the first one runs.
        selected.iter().try_for_each(|file| sql(file).map(drop))?;
        for file in selected {
            if !self.is_done(file).await? {
                self.run(file).await?;
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do for this file any more. Another migrator may have had its turn since the last one.
    async fn is_done(&mut self, file: &Migration) -> Result<bool, MigrateError> {
        self.renew().await?;
        let connection = &mut self.session.connection;
        let rows = applied(connection).await?;
        validate(self.files, &rows, connection).await?;
        let is_recorded = rows.iter().any(|row| row.version == file.version);
        Ok(is_recorded != file.migration_type.is_down_migration())
    }
}

/// Records the files up to `version` as applied as they are, and later ones as not applied, in one transaction.
async fn stamp(
    files: &Files,
    rows: &[Applied],
    version: i64,
    table: &Table,
    connection: &mut PgConnection,
) -> Result<(), MigrateError> {
    refuse_ahead(files, rows)?;
    if version != 0 && files.up(version).is_none() {
        return Err(MigrateError::NoSuchVersion(version));
    }
    let mut transaction = connection.begin().await?;
    let applied = files.ups().filter(|file| file.version <= version);
    table.replace(version, applied, &mut transaction).await?;
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
