//! Where Postgres is, and how migrations wait.

use super::{Env, Unusable, misconfigured};
use std::time::Duration;

/// Where Postgres is.
#[derive(Clone, Debug)]
pub struct Database {
    /// `DATABASE_URL` as `postgresql://...`, whatever dialect it came in.
    pub url: Result<String, Unusable>,
    /// `DATABASE_MAX_CONNECTIONS`: the size of the pool.
    pub max_connections: u32,
    /// `MIGRATIONS_DIR`: a folder of migrations in place of those in the binary.
    pub migrations: Option<String>,
}

impl Database {
    /// Reads `DATABASE_URL`, `DATABASE_MAX_CONNECTIONS` (5, or 1 in a Lambda environment that serves one request at a
    /// time) and `MIGRATIONS_DIR`.
    pub fn from_env(env: &Env) -> Self {
        let one_at_a_time =
            env.text("AWS_LAMBDA_RUNTIME_API").is_some() && env.text("AWS_LAMBDA_MAX_CONCURRENCY").is_none();
        let default = if one_at_a_time { 1 } else { 5 };
        let max_connections = match env.text("DATABASE_MAX_CONNECTIONS") {
            None => Some(default),
            Some(text) => text.trim().parse().ok().filter(|count| (1..=1000).contains(count)),
        };
        let url = match (env.text("DATABASE_URL"), max_connections) {
            (None, _) => Err(Unusable::NotConfigured),
            (Some(_), None) => Err(misconfigured("DATABASE_MAX_CONNECTIONS", "a number between 1 and 1000")),
            (Some(url), Some(_)) => postgres_url(url.trim()),
        };
        Self {
            url,
            max_connections: max_connections.unwrap_or(default),
            migrations: env.text("MIGRATIONS_DIR"),
        }
    }
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

/// Takes the URLs that Python stacks use too: `postgresql+asyncpg://`, `ssl=` for `sslmode=`, and no host before a
/// Cloud SQL socket (`postgresql://user:pass@/db?host=/cloudsql/project:region:instance`).
fn postgres_url(url: &str) -> Result<String, Unusable> {
    const EXPECTED: &str = "a URL such as postgresql://user:password@host:5432/database";
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| misconfigured("DATABASE_URL", EXPECTED))?;
    let driver = scheme.split('+').next();
    if !matches!(driver, Some("postgresql" | "postgres")) {
        return Err(misconfigured("DATABASE_URL", EXPECTED));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = if authority.is_empty() || authority.ends_with('@') {
        "localhost"
    } else {
        ""
    };
    let path = path.replace("?ssl=", "?sslmode=").replace("&ssl=", "&sslmode=");
    Ok(format!("postgresql://{authority}{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

    #[test]
    fn the_urls_of_python_stacks_and_of_cloud_sql_are_understood() {
        for (given, expected) in [
            ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
            ("postgres://u:p@h/d?ssl=require", "postgresql://u:p@h/d?sslmode=require"),
            (
                "postgresql+asyncpg://u:p@/d?host=/cloudsql/p:r:i",
                "postgresql://u:p@localhost/d?host=/cloudsql/p:r:i",
            ),
            ("postgresql:///d", "postgresql://localhost/d"),
        ] {
            assert_eq!(postgres_url(given).as_deref(), Ok(expected));
        }
    }

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
