//! The database and the bucket of `local`: those that the environment names, or private ones. And its issuer of tokens, beside
//! those that the environment names.

use super::{folder::LocalFolder, say};
use crate::issuer::{Issuer, SETTING};
use postgres::{Options, PrivatePostgres};
use shared::{
    config::{Env, Unusable},
    database::{Database, MigrateError, MigratorSettings, Reason},
    storage::{Location, Settings},
};
use std::{
    fs::{self, File},
    path::Path,
};

/// The database and the bucket: those that the environment names, or private ones in `.local`.
pub struct Dependencies {
    env: Env,
    folder: LocalFolder,
    migrate: MigratorSettings,
    postgres: Option<PrivatePostgres>,
    /// While something in the folder is used.
    lock: Option<File>,
}

impl Dependencies {
    /// Reads what the environment names.
    pub fn from_env(env: &Env) -> Self {
        let folder = LocalFolder::from_env(env);
        // Read here, where a value that is not UTF-8 still keeps the process from starting.
        env.text(SETTING);
        Database::from_env(env);
        Self {
            env: with_bucket(env, &folder.bucket()),
            folder,
            migrate: MigratorSettings::from_env(env),
            postgres: None,
            lock: None,
        }
    }

    /// Makes the bucket's folder, starts Postgres unless one is named, and applies the migrations. Returns the environment
    /// that names all of it, and the issuer.
    ///
    /// # Errors
    /// One sentence for the person at the terminal.
    pub async fn start(&mut self) -> Result<(&Env, Issuer), String> {
        let issuer = Issuer::open(&self.folder)?;
        let issuers = issuer.beside(&self.env)?;
        self.env = self.env.overlay(move |key| (key == SETTING).then(|| issuers.clone()));
        self.make_bucket()?;
        self.start_database().await?;
        let migrator = Database::from_env(&self.env).migrator(self.migrate, env!("CARGO_PKG_VERSION"));
        let migrated = migrator.up(None).await;
        migrated.map_err(|error| explained(&error, self.postgres.is_some()))?;
        Ok((&self.env, issuer))
    }

    fn make_bucket(&mut self) -> Result<(), String> {
        let bucket = self.folder.bucket();
        if self.bucket() == Ok(Location::Folder(bucket.to_string_lossy().into_owned())) {
            self.lock = Some(self.folder.share()?);
            fs::create_dir_all(&bucket).map_err(|error| format!("cannot make {}: {error}", bucket.display()))?;
        }
        Ok(())
    }

    fn bucket(&self) -> Result<Location, Unusable> {
        Settings::from_env(&self.env).location
    }

    /// Starts Postgres unless one is named. Returns the environment that names it.
    ///
    /// # Errors
    /// One sentence for the person at the terminal.
    pub async fn start_database(&mut self) -> Result<&Env, String> {
        if Database::from_env(&self.env).is_configured() {
            return Ok(&self.env);
        }
        if self.lock.is_none() {
            self.lock = Some(self.folder.share()?);
        }
        let options = Options {
            home: Some(self.folder.postgres()),
            store: self.folder.programs(),
            durable: true,
            tcp_port: None,
            settings: Vec::new(),
        };
        let start = move || PrivatePostgres::start(&options, |progress| say(progress));
        // On another thread, so that a signal can end this process, and the server it has started, in the meantime.
        #[expect(
            clippy::disallowed_methods,
            reason = "the start of the process belongs to no request"
        )]
        let started = tokio::task::spawn_blocking(start).await;
        let postgres = started
            .map_err(|panic| panic.to_string())?
            .map_err(|error| error.to_string())?;
        let url = postgres.url("postgres");
        self.env = self.env.overlay(move |key| match key {
            "DATABASE_URL" => Some(url.clone()),
            // libpq's variables, and the password file in the home folder, are meant for another server.
            _ => (key == "HOME" || key.starts_with("PG")).then(String::new),
        });
        self.postgres = Some(postgres);
        Ok(&self.env)
    }

    /// Where the database is, and how to look into it, for the person at the terminal.
    pub fn database_is(&self) -> String {
        match &self.postgres {
            Some(postgres) => {
                let (url, data) = (postgres.url("postgres"), postgres.data().display());
                format!("psql '{url}'\n            in {data}")
            }
            None => "DATABASE_URL".to_owned(),
        }
    }

    /// Where the bucket is, for the person at the terminal.
    pub fn storage_is(&self) -> String {
        match self.bucket() {
            Ok(Location::Folder(path)) => format!("the folder {path}"),
            Ok(Location::Memory) => "memory".to_owned(),
            Ok(Location::Gcs(name)) => format!("the GCS bucket {name}"),
            Ok(Location::S3(name)) => format!("the S3 bucket {name}"),
            Err(_) => "misconfigured; its health check reports it".to_owned(),
        }
    }
}

/// The environment; where it names no bucket, it then names this folder.
fn with_bucket(env: &Env, folder: &Path) -> Env {
    if Settings::from_env(env).location != Err(Unusable::NotConfigured) {
        return env.clone();
    }
    let url = format!("file://{}", folder.to_string_lossy());
    env.overlay(move |key| (key == "STORAGE_URL").then(|| url.clone()))
}

/// Why the migrations failed, for the person at the terminal. A database that answers is one that `migrate` reaches.
fn explained(error: &MigrateError, is_private: bool) -> String {
    let MigrateError::Database(reason) = error else {
        let afresh = if is_private {
            ", and `cargo run -- reset` starts afresh"
        } else {
            ""
        };
        return format!(
            "cannot migrate the database: {error}. `cargo run -- migrate` works on it all the same: `stamp VERSION` takes \
             the files as they are, `down` reverts{afresh}"
        );
    };
    let hint = match reason {
        Reason::Unreachable | Reason::Timeout => "nothing answers at DATABASE_URL",
        Reason::AuthFailed => "it does not accept the user or password of DATABASE_URL",
        Reason::Misconfigured | Reason::NotConfigured => "DATABASE_URL is not a valid address of a database",
        Reason::TlsFailed => "the TLS handshake failed",
        Reason::TooManyConnections => "it has no connection left",
        _ => "see the log line above",
    };
    format!("cannot migrate the database ({}): {hint}", reason.as_str())
}
