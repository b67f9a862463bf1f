//! The database and the bucket of `local`: those that the environment names, or private ones.

use postgres::{Options, PrivatePostgres};
use shared::{
    config::{Env, Unusable},
    database::{Database, MigrateError, MigratorSettings, Reason},
    storage::{Location, Settings},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The database and the bucket: those that the environment names, or private ones in `.local`.
pub struct Dependencies {
    env: Env,
    folder: PathBuf,
    migrate: MigratorSettings,
    postgres: Option<PrivatePostgres>,
}

impl Dependencies {
    /// Reads what the environment names. `.local` is in the checkout, or else in the current folder.
    pub fn from_env(env: &Env) -> Self {
        let package = env.text("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let checkout = package.and_then(|package| package.ancestors().nth(2).map(Path::to_owned));
        let folder = checkout.unwrap_or_else(|| PathBuf::from("."));
        let folder = std::path::absolute(&folder).unwrap_or(folder).join(".local");
        Self {
            env: with_bucket(env, &folder.join("storage")),
            folder,
            migrate: MigratorSettings::from_env(env),
            postgres: None,
        }
    }

    /// Makes the bucket's folder, starts Postgres unless one is named, and applies the migrations. Returns the environment
    /// that names both.
    ///
    /// # Errors
    /// One sentence for the person at the terminal.
    pub async fn start(&mut self) -> Result<&Env, String> {
        let bucket = self.folder.join("storage");
        if self.bucket() == Ok(Location::Folder(bucket.to_string_lossy().into_owned())) {
            fs::create_dir_all(&bucket).map_err(|error| format!("cannot make {}: {error}", bucket.display()))?;
        }
        let mut database = Database::from_env(&self.env);
        if !database.is_configured() {
            self.start_postgres().await?;
            database = Database::from_env(&self.env);
        }
        let migrator = database.migrator(self.migrate, env!("CARGO_PKG_VERSION"));
        migrator.up(None).await.map_err(|error| explained(&error))?;
        Ok(&self.env)
    }

    fn bucket(&self) -> Result<Location, Unusable> {
        Settings::from_env(&self.env).location
    }

    async fn start_postgres(&mut self) -> Result<(), String> {
        let options = Options {
            home: Some(self.folder.join("postgres")),
            store: self.folder.join("programs"),
            durable: true,
            tcp_port: None,
            settings: Vec::new(),
        };
        let start = move || PrivatePostgres::start(&options, |progress| eprintln!("local: {progress}"));
        // On another thread, so that a signal can end this process, and the server it has started, in the meantime.
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
        Ok(())
    }

    /// Where the database is, for the person at the terminal.
    pub fn database_is(&self) -> String {
        match &self.postgres {
            Some(postgres) => format!("psql '{}'", postgres.url("postgres")),
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

/// Why the migrations failed, for the person at the terminal.
fn explained(error: &MigrateError) -> String {
    let MigrateError::Database(reason) = error else {
        return format!("cannot migrate the database: {error}");
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
