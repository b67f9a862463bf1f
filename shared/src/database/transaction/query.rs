//! A query whose statement has no name in the server.

use sqlx::{
    Execute, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgStatement},
};

/// A query that is prepared without a name: a pooler in transaction mode sends each transaction to any of its sessions, and
/// PgBouncer before 1.21 does not know which names exist there.
pub(super) struct Unnamed {
    pub sql: SqlStr,
    arguments: Result<Option<PgArguments>, BoxDynError>,
}

impl Unnamed {
    pub fn new<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        let arguments = query.take_arguments();
        Self {
            arguments,
            sql: query.sql(),
        }
    }
}

impl Execute<'_, Postgres> for Unnamed {
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
        false
    }
}
