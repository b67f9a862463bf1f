//! Postgres: a lazy connection, a pool, the state of the schema, and the way to another. No sqlx type leaves this module
//! but the pool's.

mod files;
mod history;
mod in_transaction;
mod lexer;
mod limit;
mod lock;
mod migrator;
mod names;
mod no_transaction;
mod refusal;
mod run;
mod schema;
mod script;
mod session;
mod table;
mod undone;
mod validate;

use crate::config::{self, Unusable};
use files::Files;
pub use history::Record;
pub use migrator::{File, Migrator, Run};
pub use refusal::Refusal;
use schema::compare;
pub use schema::{Migration, MigrationState, Schema};
use serde::Serialize;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use table::{Applied, applied};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout,
};

/// Postgres, untouched until the first question to it. Clones share their connections.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    options: Result<PgConnectOptions, Unusable>,
    max_connections: u32,
    pool: OnceLock<PgPool>,
    folder: Option<String>,
    files: OnceCell<Files>,
    /// Kept between checks; taken out while in use, so that a check that was cut leaves no half-read answer behind.
    idle: Mutex<Option<Idle>>,
}

struct Idle {
    connection: PgConnection,
    /// By the clock that goes on while a process is frozen.
    since: SystemTime,
}

/// How long an unused connection is trusted. A process that was frozen, or a path that forgets idle connections, leaves
/// some that take a request and never answer.
const TRUSTED: Duration = Duration::from_secs(10);
/// How long a connection that is not trusted has to answer.
const SIGN_OF_LIFE: Duration = Duration::from_millis(300);

/// Why Postgres, or its schema, cannot be used: the closed set of `/health/db`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DatabaseFault))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `DATABASE_URL` is not set.
    NotConfigured,
    /// A setting cannot work, or names a database that does not exist or cannot be read.
    Misconfigured,
    /// Nothing answers there, or what does is starting up or shutting down.
    Unreachable,
    /// No answer within the deadline.
    Timeout,
    /// User, password or `pg_hba.conf`.
    AuthFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// The server has no slot left.
    TooManyConnections,
    /// Migrations of this build are not applied.
    SchemaBehind,
    /// A migration failed halfway.
    SchemaDirty,
    /// What is applied is not what this build has under the same version.
    SchemaDrift,
    /// Anything else; the log has the cause.
    Error,
}

impl Reason {
    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Misconfigured => "misconfigured",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::AuthFailed => "auth_failed",
            Self::TlsFailed => "tls_failed",
            Self::TooManyConnections => "too_many_connections",
            Self::SchemaBehind => "schema_behind",
            Self::SchemaDirty => "schema_dirty",
            Self::SchemaDrift => "schema_drift",
            Self::Error => "error",
        }
    }
}

impl Database {
    /// Takes the settings; connects at the first question.
    pub fn connect_lazy(settings: config::Database) -> Self {
        let options = settings.url.and_then(|url| {
            url.parse::<PgConnectOptions>()
                .map(|options| {
                    let options = options.application_name(&program()).disable_statement_logging();
                    // PgBouncer refuses the parameter, and servers since 12 do without it.
                    options.extra_float_digits(None)
                })
                .map_err(|_| {
                    Unusable::Misconfigured(config::Invalid {
                        key: "DATABASE_URL",
                        expected: "a URL that names a host, a user and a database",
                    })
                })
        });
        Self(Arc::new(Inner {
            options,
            max_connections: settings.max_connections,
            pool: OnceLock::new(),
            folder: settings.migrations,
            files: OnceCell::new(),
            idle: Mutex::default(),
        }))
    }

    /// The pool for the queries of a function, built at its first use.
    ///
    /// # Errors
    /// `NotConfigured` or `Misconfigured`. Connecting happens at the first query.
    pub fn pool(&self) -> Result<&PgPool, Reason> {
        let options = self.options()?;
        Ok(self.0.pool.get_or_init(|| {
            PgPoolOptions::new()
                .max_connections(self.0.max_connections)
                .acquire_timeout(Duration::from_secs(5))
                .test_before_acquire(false)
                .before_acquire(|connection, _| {
                    Box::pin(async {
                        Ok(timeout(SIGN_OF_LIFE, connection.ping())
                            .await
                            .is_ok_and(|pong| pong.is_ok()))
                    })
                })
                .connect_lazy_with(options.clone())
        }))
    }

    /// A connection of its own, outside the pool: a job's locks end with it.
    async fn connect(&self) -> Result<PgConnection, Reason> {
        let options = self.options()?;
        PgConnection::connect_with(options)
            .await
            .map_err(|error| logged(&error))
    }

    /// One query that proves the connection and reads the state of the schema.
    ///
    /// # Errors
    /// The reason; the cause is logged. No deadline: the caller has one, and may drop this future at any point.
    pub async fn schema(&self) -> Result<Schema, Reason> {
        let files = self.files().await.map_err(|refusal| {
            tracing::error!("{refusal}");
            Reason::Misconfigured
        })?;
        let idle = self.0.idle.lock().await.take();
        let found = match idle {
            Some(idle) => still_good(idle).await,
            None => None,
        };
        let (applied, connection) = match found {
            Some(found) => found,
            None => {
                let mut connection = self.connect().await?;
                (applied(&mut connection).await, connection)
            }
        };
        let applied = applied.map_err(|error| logged(&error))?;
        *self.0.idle.lock().await = Some(Idle {
            connection,
            since: SystemTime::now(),
        });
        Ok(compare(files, &applied))
    }

    /// The migrations that this process expects: those in the binary, or those in `MIGRATIONS_DIR`, read once.
    async fn files(&self) -> Result<&Files, Refusal> {
        let read = || Files::read(self.0.folder.as_deref());
        self.0.files.get_or_try_init(read).await
    }

    fn options(&self) -> Result<&PgConnectOptions, Reason> {
        self.0.options.as_ref().map_err(|unusable| match unusable {
            Unusable::NotConfigured => Reason::NotConfigured,
            Unusable::Misconfigured(setting) => {
                tracing::error!("{setting}");
                Reason::Misconfigured
            }
        })
    }
}

/// What an idle connection answers. One that died meanwhile says nothing about the server of now.
async fn still_good(idle: Idle) -> Option<(Result<Vec<Applied>, sqlx::Error>, PgConnection)> {
    let Idle { mut connection, since } = idle;
    // A clock that was set back says nothing.
    let trusted = since.elapsed().is_ok_and(|unused| unused < TRUSTED);
    let answer = if trusted {
        applied(&mut connection).await
    } else {
        timeout(SIGN_OF_LIFE, applied(&mut connection)).await.ok()?
    };
    match answer {
        Err(sqlx::Error::Io(_) | sqlx::Error::Database(_) | sqlx::Error::Protocol(_)) => None,
        answer => Some((answer, connection)),
    }
}

/// The one place where sqlx's errors meet the closed set. The cause goes to the log, with the request's id.
fn logged(error: &sqlx::Error) -> Reason {
    let reason = match error {
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Reason::Timeout,
        // A certificate that expired, say: sqlx has a kind for a handshake that was refused, not for one that failed.
        sqlx::Error::Io(error) if error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) => Reason::TlsFailed,
        sqlx::Error::Io(_) => Reason::Unreachable,
        sqlx::Error::Tls(_) => Reason::TlsFailed,
        sqlx::Error::Configuration(_) => Reason::Misconfigured,
        sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
            "28000" | "28P01" => Reason::AuthFailed,
            "53300" => Reason::TooManyConnections,
            // Starting up, shutting down, crashed.
            "57P01" | "57P02" | "57P03" => Reason::Unreachable,
            // No such database; no right to connect to it, or to read the table of migrations.
            "3D000" | "42501" => Reason::Misconfigured,
            _ => Reason::Error,
        },
        _ => Reason::Error,
    };
    tracing::error!(reason = reason.as_str(), cause = %error, "the database cannot be used");
    reason
}

/// The name of this binary, for those who look at the server's sessions.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
