//! Postgres: a pool that connects at its first query, the state of the schema, and the migrator.

#[cfg(feature = "streams")]
mod bytea;
mod checks;
mod migrations;
mod pool;
mod problem;
mod proxy;
mod reason;
mod settings;
pub(crate) mod sqlstate;
mod transaction;

use crate::config::{Env, Unusable};
#[cfg(feature = "streams")]
pub(crate) use bytea::Bytea;
use checks::Checks;
pub use migrations::{
    File, MigrateError, Migration, MigrationState, Migrator, MigratorSettings, RecordedRun, Run, Schema,
};
use migrations::{Files, compare};
pub use pool::Session;
use pool::{Pool, process};
use proxy::{Limits, Proxy, RequestTimeout};
pub use reason::Reason;
use reason::logged;
use settings::{Dsn, Settings};
use sqlx::{
    PgConnection,
    postgres::{PgListener, PgPoolOptions},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::OnceCell, time::timeout};
pub use transaction::{Connection, Transaction, violation};

/// Postgres. Connects at the first query. Clones share their connections.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    settings: Settings,
    pool: OnceLock<Pool>,
    jobs: OnceLock<Proxy>,
    files: OnceCell<Files>,
    checks: Checks,
}

/// How long a query of a function may take, and how many bytes its answer may have: a container has 128 MiB of memory.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 32 << 20;

impl Database {
    /// Reads `DATABASE_URL`, `DATABASE_MAX_CONNECTIONS` (5, or 1 in a Lambda environment that serves one request at a
    /// time) and `MIGRATIONS_DIR`. Connects at the first query, which is also where settings that cannot work are reported.
    pub fn from_env(env: &Env) -> Self {
        let settings = Settings::from_env(env);
        Self(Arc::new(Inner {
            checks: Checks::new(settings.keep_session),
            settings,
            pool: OnceLock::new(),
            jobs: OnceLock::new(),
            files: OnceCell::new(),
        }))
    }

    /// Whether `DATABASE_URL` is set.
    pub fn is_configured(&self) -> bool {
        !matches!(self.0.settings.dsn, Err(Unusable::NotConfigured))
    }

    fn pool(&self) -> Result<&Pool, Reason> {
        if let Some(pool) = self.0.pool.get() {
            return Ok(pool);
        }
        let sessions = self.0.settings.max_connections;
        let proxy = self.proxy(sessions, RequestTimeout::Each(QUERY_TIMEOUT))?;
        Ok(self.0.pool.get_or_init(|| Pool::new(proxy, sessions)))
    }

    /// A connection outside the pool, for a job, whose locks end with it. Its statements have no time limit; dropping
    /// the connection cancels them.
    async fn connect(&self) -> Result<PgConnection, Reason> {
        let connected = self.jobs()?.connect().await;
        connected
            .map(|(connection, _)| connection)
            .map_err(|error| logged(&error))
    }

    /// Listens for notifications, on a connection outside the pool, to the server itself.
    ///
    /// # Errors
    /// Why there is no connection; [`Misconfigured`](Reason::Misconfigured) where a pooler answers: it would leave the session
    /// that listens to others, whose queries then fail.
    pub async fn listener(&self) -> sqlx::Result<PgListener> {
        let unusable = |reason: Reason| sqlx::Error::Configuration(reason.into());
        let proxy = self.jobs().map_err(unusable)?;
        let (mut connection, handle) = proxy.connect().await?;
        let is_direct = handle.is_direct(process(&mut connection).await?);
        // Its end is not waited for.
        drop(connection);
        if !is_direct {
            return Err(unusable(Reason::Misconfigured));
        }
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(proxy.options().clone());
        PgListener::connect_with(&pool).await
    }

    fn jobs(&self) -> Result<&Proxy, Reason> {
        const SESSIONS: u32 = 100;
        if self.0.jobs.get().is_none() {
            let proxy = self.proxy(SESSIONS, RequestTimeout::None)?;
            let _ = self.0.jobs.set(proxy);
        }
        self.0.jobs.get().ok_or(Reason::Error)
    }

    /// Waits, for a second at most, until the server has ended the sessions that a job has closed or dropped: then their
    /// locks are free, and nothing is left to cancel when the process ends.
    pub async fn until_jobs_have_left(&self) {
        let have_left = async {
            if let Some(proxy) = self.0.jobs.get() {
                proxy.sessions_have_ended().await;
            }
            if let Some(pool) = self.0.pool.get() {
                pool.sessions_have_ended().await;
            }
        };
        let _ = timeout(Duration::from_secs(1), have_left).await;
    }

    /// How many connections one process opens for queries, at most.
    pub fn max_connections(&self) -> u32 {
        self.0.settings.max_connections
    }

    fn proxy(&self, sessions: u32, timeout: RequestTimeout) -> Result<Proxy, Reason> {
        let limits = Limits {
            sessions,
            answer: MAX_ANSWER,
            timeout,
        };
        Proxy::start(self.dsn()?, limits).map_err(|error| logged(&error.into()))
    }

    /// Reads the state of the schema in one query, which also proves the connection. Uses one session at most. The
    /// query has ended in the server `within` this time, even if the caller has dropped this future.
    ///
    /// # Errors
    /// The reason; the cause is logged. The caller may drop this future at any point.
    pub async fn schema(&self, within: Duration) -> Result<Schema, Reason> {
        let files = self.files().await.map_err(|error| {
            tracing::error!("{error}");
            Reason::Misconfigured
        })?;
        let applied = self.0.checks.applied(self.dsn()?, within).await?;
        Ok(compare(files, &applied))
    }

    /// The migrations that this process expects: those in the binary, or those in `MIGRATIONS_DIR`, read once.
    async fn files(&self) -> Result<&Files, MigrateError> {
        let read = || Files::read(self.0.settings.migrations.as_deref());
        self.0.files.get_or_try_init(read).await
    }

    fn dsn(&self) -> Result<&Dsn, Reason> {
        self.0.settings.dsn.as_ref().map_err(|unusable| match unusable {
            Unusable::NotConfigured => Reason::NotConfigured,
            Unusable::Misconfigured(setting) => {
                tracing::error!("{setting}");
                Reason::Misconfigured
            }
        })
    }
}
