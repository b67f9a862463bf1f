//! Outside of a transaction: a file is marked before it runs, and what it may leave half done is told.

use super::{
    Refusal,
    apply::{Applier, milliseconds, said},
    schema::name,
};
use sqlx::{Executor, PgConnection, migrate::Migration};
use std::time::Instant;

impl Applier<'_> {
    /// No lock timeout here: what cannot run in a transaction waits without standing in anybody's way, and an index that
    /// gives up is left INVALID.
    pub async fn outside(&mut self, file: &Migration) -> Result<(), Refusal> {
        let start = Instant::now();
        let prepared =
            sqlx::query("SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', $1, false)")
                .bind(milliseconds(self.settings.statement_timeout));
        prepared.execute(&mut *self.connection).await?;
        if let Some(found) = invalid_indexes(self.connection).await? {
            return Err(Refusal::InvalidIndex {
                file: name(file),
                found,
            });
        }
        self.mark(file).await?;
        if let Err(error) = self.connection.execute(file.sql.clone()).await {
            let cause = said(&error, file);
            tracing::error!(file = name(file), cause, "failed outside of a transaction");
            if let Some(found) = invalid_indexes(self.connection).await? {
                return Err(self.half_done(file, found));
            }
            self.unmark(file).await?;
            return Err(Refusal::Failed {
                file: name(file),
                cause,
            });
        }
        if file.migration_type.is_down_migration() {
            self.forget(file).await
        } else {
            let recorded =
                sqlx::query("UPDATE _sqlx_migrations SET success = true, execution_time = $2 WHERE version = $1")
                    .bind(file.version)
                    .bind(start.elapsed().as_nanos() as i64);
            recorded.execute(&mut *self.connection).await?;
            Ok(())
        }
    }

    /// What a dirty file left behind, and the way out.
    pub async fn dirty(&mut self, file: &Migration) -> Result<Refusal, Refusal> {
        let found = invalid_indexes(self.connection).await?;
        let found = found.unwrap_or_else(|| "Look whether its effect is there, and undo what is half done".to_owned());
        Ok(self.half_done(file, found))
    }

    fn half_done(&self, file: &Migration, found: String) -> Refusal {
        Refusal::Dirty {
            file: name(file),
            version: file.version,
            before: self.before(file),
            found,
        }
    }

    /// Records that a file has begun.
    pub async fn mark(&mut self, file: &Migration) -> Result<(), Refusal> {
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, false, $3, -1) ON CONFLICT (version) DO UPDATE SET success = false",
        )
        .bind(file.version)
        .bind(&*file.description)
        .bind(&*file.checksum)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Takes the mark back: the file has left nothing behind.
    async fn unmark(&mut self, file: &Migration) -> Result<(), Refusal> {
        if !file.migration_type.is_down_migration() {
            return self.forget(file).await;
        }
        sqlx::query("UPDATE _sqlx_migrations SET success = true WHERE version = $1")
            .bind(file.version)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn forget(&mut self, file: &Migration) -> Result<(), Refusal> {
        sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
            .bind(file.version)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}

/// The indexes that `CREATE INDEX CONCURRENTLY` left INVALID and is not building any more, in a sentence.
pub(super) async fn invalid_indexes(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND c.relkind = 'i'
           AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
         ORDER BY 1",
    )
    .fetch_all(connection)
    .await?;
    let named: Vec<String> = names
        .iter()
        .map(|name| format!("index {name} is INVALID: DROP INDEX CONCURRENTLY {name}"))
        .collect();
    Ok((!named.is_empty()).then(|| named.join("; ")))
}
