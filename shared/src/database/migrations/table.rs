//! `_sqlx_migrations`, the table of sqlx that records what is applied. It is looked up in every schema, so that the
//! search path of a session does not decide which table that is; a second one is an error.

use super::{files::name, lock::lock_id};
use crate::database::sqlstate::sqlstate;
use futures_util::TryStreamExt;
use sqlx::{
    AssertSqlSafe, Either, Executor, PgConnection, Postgres, Row,
    migrate::Migration,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use std::time::Duration;

/// A row.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::database) struct Applied {
    pub version: i64,
    pub success: bool,
    pub checksum: Vec<u8>,
}

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("there is more than one table of migrations, {0}: drop or rename all but the one that is right")]
    Several(String),
    #[error("{0} cannot be read: the role has no USAGE on its schema")]
    NoUsage(String),
    #[error("the table of migrations cannot be created: no schema of the search_path exists")]
    NoSchema,
    #[error("the table of migrations is not there any more")]
    Gone,
}

impl From<TableError> for sqlx::Error {
    fn from(unusable: TableError) -> Self {
        Self::Configuration(unusable.into())
    }
}

/// Finds the table in any schema, but not in those of the system and of temporary tables. Their names begin with `pg_`,
/// which no other schema's name may.
const FOUND: &str =
    "FROM pg_catalog.pg_class, LATERAL (SELECT relnamespace::pg_catalog.regnamespace::pg_catalog.text) n (schema)
    WHERE relname = '_sqlx_migrations' AND relkind IN ('r', 'p', 'v', 'f')
      AND schema OPERATOR(pg_catalog.!~) '^(pg_|information_schema$)'";
const COLUMNS: &str = "pg_catalog.count(*) AS tables,
    pg_catalog.string_agg(schema || '._sqlx_migrations', ' and ' ORDER BY schema) AS names,
    pg_catalog.bool_and(pg_catalog.has_schema_privilege(relnamespace, 'USAGE')) AS usable";

/// The rows by version, without the file that another migrator is running now. Empty if there is no table. Takes one
/// round trip unless a row is dirty, and no prepared statement, so that it works through a pooler in transaction mode.
///
/// # Errors
/// Errors of the connection; a [`TableError`] becomes `sqlx::Error::Configuration`.
pub(in crate::database) async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let (_, rows) = look(connection, "true").await?;
    if rows.iter().all(|row| row.success) {
        return Ok(rows);
    }
    // Is a migrator at work on the dirty row? One transaction reads the rows and tests the lock, because a migrator may
    // begin or end between two. While it shares the lock, no migrator works, and a dirty row stays dirty.
    let id = lock_id(connection).await?;
    let share = format!("pg_catalog.pg_try_advisory_xact_lock_shared({id})");
    let (is_shared, mut rows) = look(connection, &share).await?;
    if !is_shared {
        rows.retain(|row| row.success);
    }
    Ok(rows)
}

/// Finds the table, evaluates `condition`, and reads the rows, in one message and so in one transaction. The schema is
/// known only after the table is found, so the search path is set to it for the last statement, which fails if there is
/// no table. Servers since 14 notice that the client has gone, even while they wait for a lock.
async fn look(connection: &mut PgConnection, condition: &str) -> Result<(bool, Vec<Applied>), sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    let sql = format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
         SELECT {COLUMNS}, {condition} AS condition, pg_catalog.set_config(
                'search_path', coalesce(pg_catalog.min(schema) || ', pg_temp', 'pg_temp'), true),
             CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
                  THEN pg_catalog.set_config('client_connection_check_interval', '250ms', true) END {FOUND};
         SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version"
    );
    let (rows, error) = rows(connection, sql).await;
    let Some((found, rows)) = rows.split_first() else {
        return Err(error.unwrap_or(sqlx::Error::RowNotFound));
    };
    match (named(found)?, error) {
        (None, Some(error)) if sqlstate(&error) == UNDEFINED_TABLE => {}
        (_, Some(error)) => return Err(error),
        (_, None) => {}
    }
    let rows = rows.iter().map(|row| {
        Ok(Applied {
            version: row.try_get("version")?,
            success: row.try_get("success")?,
            checksum: row.try_get("checksum")?,
        })
    });
    Ok((found.try_get("condition")?, rows.collect::<Result<_, sqlx::Error>>()?))
}

/// The rows of all statements up to the first that fails.
async fn rows(connection: &mut PgConnection, sql: String) -> (Vec<PgRow>, Option<sqlx::Error>) {
    let mut rows = Vec::new();
    let mut answers = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql)));
    loop {
        match answers.try_next().await {
            Ok(Some(Either::Right(row))) => rows.push(row),
            Ok(Some(Either::Left(_))) => {}
            Ok(None) => return (rows, None),
            Err(error) => return (rows, Some(error)),
        }
    }
}

/// The qualified name of the table, if there is one.
fn named(found: &PgRow) -> Result<Option<String>, sqlx::Error> {
    let tables: i64 = found.try_get("tables")?;
    let Some(names) = found.try_get::<Option<String>, _>("names")? else {
        return Ok(None);
    };
    if tables > 1 {
        Err(TableError::Several(names).into())
    } else if !found.try_get::<bool, _>("usable")? {
        Err(TableError::NoUsage(names).into())
    } else {
        Ok(Some(names))
    }
}

/// The table by its qualified name.
pub(super) struct Table(String);

impl Table {
    /// Finds the table. Reads only the catalog, and so works in any transaction.
    ///
    /// # Errors
    /// Errors of the connection; a [`TableError`] becomes `sqlx::Error::Configuration`.
    pub async fn find(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS} {FOUND}");
        let found = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
        Ok(named(&found)?.map(Self))
    }

    /// The table, which the run has found or created before.
    ///
    /// # Errors
    /// As [`Table::find`]; [`TableError::Gone`] if it is missing.
    pub async fn existing(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Ok(Self::find(connection).await?.ok_or(TableError::Gone)?)
    }

    /// Finds the table, or creates it as sqlx does, in the first schema of the search path that exists.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub async fn find_or_create(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        if let Some(table) = Self::find(connection).await? {
            return Ok(table);
        }
        let first = "SELECT pg_catalog.quote_ident(pg_catalog.current_schema()) AS schema";
        let row = sqlx::raw_sql(first).fetch_one(&mut *connection).await?;
        let schema = row
            .try_get::<Option<String>, _>("schema")?
            .ok_or(TableError::NoSchema)?;
        let table = Self(format!("{schema}._sqlx_migrations"));
        let create = format!(
            "CREATE TABLE {} (version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL
             DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)",
            table.0
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await?;
        Ok(table)
    }

    /// Records a file: as applied if `took` has its duration, as begun otherwise. An existing row is an error, because
    /// somebody else must have recorded the file.
    pub async fn insert(
        &self,
        file: &Migration,
        took: Option<Duration>,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "INSERT INTO {} (version, description, success, checksum, execution_time) VALUES ($1, $2, $3, $4, $5)",
            self.0
        );
        let insert = sqlx::query(AssertSqlSafe(sql))
            .bind(file.version)
            .bind(&*file.description)
            .bind(took.is_some())
            .bind(&*file.checksum)
            .bind(took.map_or(-1, nanoseconds));
        change_one(insert, file, connection).await
    }

    /// Changes a file's record to begun or applied, and its duration if `took` has one.
    pub async fn update(
        &self,
        file: &Migration,
        success: bool,
        took: Option<Duration>,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "UPDATE {} SET success = $2, execution_time = coalesce($3, execution_time) WHERE version = $1",
            self.0
        );
        let update = sqlx::query(AssertSqlSafe(sql))
            .bind(file.version)
            .bind(success)
            .bind(took.map(nanoseconds));
        change_one(update, file, connection).await
    }

    /// Deletes a file's record.
    pub async fn delete(&self, file: &Migration, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = format!("DELETE FROM {} WHERE version = $1", self.0);
        change_one(sqlx::query(AssertSqlSafe(sql)).bind(file.version), file, connection).await
    }

    /// Replaces all records by those of `files`, as if they had been applied.
    pub async fn replace<'a>(
        &self,
        version: i64,
        files: impl Iterator<Item = &'a Migration>,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let newer = format!("DELETE FROM {} WHERE version > $1", self.0);
        sqlx::query(AssertSqlSafe(newer))
            .persistent(false)
            .bind(version)
            .execute(&mut *connection)
            .await?;
        let upsert = format!(
            "INSERT INTO {} (version, description, success, checksum, execution_time) VALUES ($1, $2, true, $3, -1)
             ON CONFLICT (version) DO UPDATE SET success = true, checksum = $3",
            self.0
        );
        for file in files {
            sqlx::query(AssertSqlSafe(upsert.clone()))
                .persistent(false)
                .bind(file.version)
                .bind(&*file.description)
                .bind(&*file.checksum)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

fn nanoseconds(took: Duration) -> i64 {
    i64::try_from(took.as_nanos()).unwrap_or(i64::MAX)
}

/// Changes one record. The statement is prepared without a name, because a file may have deallocated all named ones.
async fn change_one(
    change: Query<'_, Postgres, PgArguments>,
    file: &Migration,
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let changed = change.persistent(false).execute(connection).await?;
    if changed.rows_affected() == 1 {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!(
        "the record of {} is not there any more",
        name(file)
    )))
}
