//! What the routes need: what the environment names, and of the rest something that just works.

use shared::{
    config::{self, Env, Unusable},
    database::{Database, Reason, Refusal},
    private_postgres::{Options, PrivatePostgres},
    storage::{Location, Settings},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The database and the bucket, named or our own.
pub struct Dependencies {
    folder: PathBuf,
    database: config::Database,
    migrate: config::Migrate,
    postgres: Option<PrivatePostgres>,
    /// Where the bucket is.
    pub storage: Settings,
}

impl Dependencies {
    /// Reads what the environment names. Our own things live in `.local` of the checkout, or of the current folder.
    pub fn from_env(env: &Env) -> Self {
        let package = env.text("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let checkout = package.and_then(|package| package.ancestors().nth(2).map(Path::to_owned));
        let folder = checkout.unwrap_or_else(|| PathBuf::from("."));
        let folder = std::path::absolute(&folder).unwrap_or(folder).join(".local");
        let mut storage = Settings::from_env(env);
        if storage.location == Err(Unusable::NotConfigured) {
            storage.location = Ok(Location::Folder(folder.join("storage").to_string_lossy().into_owned()));
        }
        Self {
            folder,
            database: config::Database::from_env(env),
            migrate: config::Migrate::from_env(env),
            postgres: None,
            storage,
        }
    }

    /// Makes the bucket's folder, starts Postgres unless one is named, and applies the migrations.
    ///
    /// # Errors
    /// One sentence for the person at the terminal.
    pub async fn start(&mut self) -> Result<Database, String> {
        let bucket = self.folder.join("storage");
        if self.storage.location == Ok(Location::Folder(bucket.to_string_lossy().into_owned())) {
            fs::create_dir_all(&bucket).map_err(|error| format!("cannot make {}: {error}", bucket.display()))?;
        }
        if self.database.dsn.as_ref().err() == Some(&Unusable::NotConfigured) {
            let options = Options {
                home: Some(self.folder.join("postgres")),
                store: self.folder.join("programs"),
                durable: true,
                tcp_port: None,
                settings: Vec::new(),
            };
            let start = move || PrivatePostgres::start(&options, |progress| eprintln!("local: {progress}"));
            // On a thread of its own, because a signal must end this process meanwhile, which ends all it has started.
            let started = tokio::task::spawn_blocking(start).await;
            let postgres = started
                .map_err(|panic| panic.to_string())?
                .map_err(|error| error.to_string())?;
            self.database = self.database.clone().at(&postgres.url("postgres"));
            self.postgres = Some(postgres);
        }
        let database = Database::connect_lazy(self.database.clone());
        let migrator = database.migrator(self.migrate, env!("CARGO_PKG_VERSION"));
        migrator.up(None).await.map_err(|refusal| refused(&refusal))?;
        Ok(database)
    }

    /// The database in the words of the terminal.
    pub fn database_is(&self) -> String {
        match &self.postgres {
            Some(postgres) => format!("psql '{}'", postgres.url("postgres")),
            None => "DATABASE_URL".to_owned(),
        }
    }

    /// The bucket in the words of the terminal.
    pub fn storage_is(&self) -> String {
        match &self.storage.location {
            Ok(Location::Folder(path)) => format!("the folder {path}"),
            Ok(Location::Memory) => "memory".to_owned(),
            Ok(Location::Gcs(name)) => format!("the GCS bucket {name}"),
            Ok(Location::S3(name)) => format!("the S3 bucket {name}"),
            Err(_) => "misconfigured; /health/storage reports it".to_owned(),
        }
    }
}

fn refused(refusal: &Refusal) -> String {
    let Refusal::Database(reason) = refusal else {
        return format!("cannot migrate the database: {refusal}");
    };
    let hint = match reason {
        Reason::Unreachable | Reason::Timeout => "nothing answers at DATABASE_URL",
        Reason::AuthFailed => "it does not accept the user or password of DATABASE_URL",
        Reason::Misconfigured | Reason::NotConfigured => "DATABASE_URL names something that is no usable database",
        Reason::TlsFailed => "the TLS handshake failed",
        Reason::TooManyConnections => "it has no connection left",
        _ => "see the log line above",
    };
    format!("cannot migrate the database ({}): {hint}", reason.as_str())
}
