//! Where Postgres is, and how migrations wait.

mod dsn;
mod parameters;
mod passfile;
mod split;
mod tls;
mod values;

use super::{Env, Unusable, misconfigured};
pub use dsn::{Dsn, Host, Keepalive};
use std::time::Duration;
pub use tls::{SslMode, Tls};

/// Where Postgres is.
#[derive(Clone)]
pub struct Database {
    /// `DATABASE_URL`, in any form that libpq and the drivers of other languages have.
    pub dsn: Result<Dsn, Unusable>,
    /// `DATABASE_MAX_CONNECTIONS`: the size of the pool.
    pub max_connections: u32,
    /// Does a health check keep its session for the next? Lambda freezes a process between two requests, and a session of a
    /// frozen process cannot be closed.
    pub keep_session: bool,
    /// `MIGRATIONS_DIR`: a folder of migrations in place of those in the binary.
    pub migrations: Option<String>,
}

impl Database {
    /// Reads `DATABASE_URL`, `DATABASE_MAX_CONNECTIONS` (5, or 1 in a Lambda environment that serves one request at a
    /// time) and `MIGRATIONS_DIR`.
    pub fn from_env(env: &Env) -> Self {
        let lambda = env.text("AWS_LAMBDA_RUNTIME_API").is_some();
        let one_at_a_time = lambda && env.text("AWS_LAMBDA_MAX_CONCURRENCY").is_none();
        let default = if one_at_a_time { 1 } else { 5 };
        let max_connections = match env.text("DATABASE_MAX_CONNECTIONS") {
            None => Some(default),
            Some(text) => text.trim().parse().ok().filter(|count| (1..=1000).contains(count)),
        };
        let dsn = match (env.text("DATABASE_URL"), max_connections) {
            (None, _) => Err(Unusable::NotConfigured),
            (Some(_), None) => Err(misconfigured("DATABASE_MAX_CONNECTIONS", "a number between 1 and 1000")),
            (Some(url), Some(_)) => parse(&url, env),
        };
        Self {
            dsn,
            keep_session: !lambda,
            max_connections: max_connections.unwrap_or(default),
            migrations: env.text("MIGRATIONS_DIR"),
        }
    }

    /// The same with another connection string, which no variable changes.
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        let dsn = parse(url, &Env::new(|_| None));
        Self { dsn, ..self }
    }
}

fn parse(url: &str, env: &Env) -> Result<Dsn, Unusable> {
    Dsn::parse(url.trim(), env).map_err(|expected| misconfigured("DATABASE_URL", expected))
}

/// How migrations wait.
#[derive(Clone, Copy, Debug)]
pub struct Migrate {
    /// `MIGRATE_LOCK_TIMEOUT`: how long a statement waits for a table's lock before its file is rolled back and retried.
    pub lock_timeout: Duration,
    /// `MIGRATE_STATEMENT_TIMEOUT`: how long a statement may take.
    pub statement_timeout: Duration,
    /// `MIGRATE_WAIT`: how long to wait for another migrator.
    pub wait: Duration,
}

impl Migrate {
    /// Reads `MIGRATE_LOCK_TIMEOUT` (5 s), `MIGRATE_STATEMENT_TIMEOUT` (1 h) and `MIGRATE_WAIT` (10 min).
    pub fn from_env(env: &Env) -> Self {
        Self {
            lock_timeout: env.duration("MIGRATE_LOCK_TIMEOUT", Duration::from_secs(5)),
            statement_timeout: env.duration("MIGRATE_STATEMENT_TIMEOUT", Duration::from_secs(60 * 60)),
            wait: env.duration("MIGRATE_WAIT", Duration::from_secs(10 * 60)),
        }
    }
}

#[cfg(test)]
mod providers;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

    #[test]
    fn a_pool_has_one_connection_where_lambda_serves_one_request_at_a_time() {
        let connections = |settings| Database::from_env(&env(settings)).max_connections;
        assert_eq!(connections(&[]), 5);
        assert_eq!(connections(&[("AWS_LAMBDA_RUNTIME_API", "x")]), 1);
        assert_eq!(
            connections(&[("AWS_LAMBDA_RUNTIME_API", "x"), ("AWS_LAMBDA_MAX_CONCURRENCY", "8")]),
            5
        );
        assert_eq!(connections(&[("DATABASE_MAX_CONNECTIONS", "7")]), 7);
    }
}
