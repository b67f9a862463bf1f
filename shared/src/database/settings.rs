//! `DATABASE_*`: where Postgres is.

mod dsn;
mod parameters;
mod passfile;
mod split;
mod tls;
mod values;

use crate::config::{Env, Unusable, misconfigured};
pub(super) use dsn::{Dsn, Host, Keepalive};
pub(super) use tls::{SslMode, Tls};

/// Where Postgres is, and which sessions this process may have there.
pub(super) struct Settings {
    /// `DATABASE_URL`, in any form that libpq and the drivers of other languages accept.
    pub dsn: Result<Dsn, Unusable>,
    /// `DATABASE_MAX_CONNECTIONS`: the size of the pool.
    pub max_connections: u32,
    /// Whether a health check may leave its session open for the next one. Not on Lambda, which freezes the process between
    /// two requests: a frozen process cannot close a session.
    pub keep_session: bool,
    /// `MIGRATIONS_DIR`: a folder of migrations in place of those in the binary.
    pub migrations: Option<String>,
}

impl Settings {
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
}

fn parse(url: &str, env: &Env) -> Result<Dsn, Unusable> {
    Dsn::parse(url.trim(), env).map_err(|expected| misconfigured("DATABASE_URL", expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

    #[test]
    fn a_pool_has_one_connection_where_lambda_serves_one_request_at_a_time() {
        let connections = |settings| Settings::from_env(&env(settings)).max_connections;
        assert_eq!(connections(&[]), 5);
        assert_eq!(connections(&[("AWS_LAMBDA_RUNTIME_API", "x")]), 1);
        assert_eq!(
            connections(&[("AWS_LAMBDA_RUNTIME_API", "x"), ("AWS_LAMBDA_MAX_CONCURRENCY", "8")]),
            5
        );
        assert_eq!(connections(&[("DATABASE_MAX_CONNECTIONS", "7")]), 7);
    }

    #[test]
    fn a_connection_string_that_cannot_work_is_reported_by_the_health_check_and_does_not_end_the_process() {
        let env = env(&[("DATABASE_URL", "mysql://root@db/app")]);
        assert!(matches!(Settings::from_env(&env).dsn, Err(Unusable::Misconfigured(_))));
        assert_eq!(env.take_invalid(), []);
    }
}
