//! A server with a role that has a password, and connection strings for it.

use crate::probed::probed;
use std::fs;
use tempfile::TempDir;
use testing::{Postgres, database_of, execute};

/// A server with a role that has a password, and a folder for certificates.
pub struct World {
    pub database: String,
    pub port: u16,
    pub folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.migrated_database().await;
        let role = "DO $$ BEGIN CREATE ROLE \"hostile-user\" SUPERUSER LOGIN PASSWORD 'hostile-secret'; \
                    EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";
        execute(&url, role).await;
        Self {
            database: database_of(&url).to_owned(),
            port: postgres.port(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of a file with this content, as it stands in a URL.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().replace('/', "%2F")
    }

    pub fn url(&self, host: &str, port: u16, query: &str) -> String {
        let database = &self.database;
        format!("postgresql://hostile-user:hostile-secret@{host}:{port}/{database}?{query}")
    }
}

/// Each connection string has this reason, or is `healthy`.
pub async fn all_are(cases: impl IntoIterator<Item = (String, &'static str)>) {
    for (url, expected) in cases {
        let server = probed(&url);
        let report = server.probe().await.json();
        let found = report["reason"].as_str().unwrap_or("healthy");
        assert_eq!(found, expected, "{url} {}", server.log());
        assert!(!server.log().contains("hostile-secret"), "{}", server.log());
    }
}
