//! A query whose SQL is still there for the log when it has failed.

use sqlx::{
    Execute, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgStatement},
};

/// SQL that is longer, in bytes, is not prepared for its next use: the prepared statements of all sessions stay in memory.
const LONGEST_PREPARED: usize = 16 << 10;

/// A query of a function.
pub(super) struct Query {
    pub sql: SqlStr,
    arguments: Result<Option<PgArguments>, BoxDynError>,
    is_persistent: bool,
}

impl Query {
    pub fn new<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        let (arguments, is_persistent) = (query.take_arguments(), query.persistent());
        let sql = query.sql();
        Self {
            arguments,
            is_persistent: is_persistent && sql.as_str().len() <= LONGEST_PREPARED,
            sql,
        }
    }
}

impl Execute<'_, Postgres> for Query {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}
