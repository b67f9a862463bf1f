//! Two accounts with 100 each: what transactions of these tests change.

use shared::{
    config::Env,
    database::{Connection, Database},
    deadline::Deadline,
};
use sqlx::PgPool;
use std::time::Duration;
use testing::{Postgres, execute};
use tokio::time::Instant;

/// A database with accounts.
pub struct Accounts {
    /// Connects directly.
    pub url: String,
    /// The database as functions use it.
    pub database: Database,
}

impl Accounts {
    pub async fn new(postgres: &Postgres) -> Self {
        let url = postgres.empty_database().await;
        let schema = "CREATE TABLE accounts (
                id int PRIMARY KEY, balance bigint NOT NULL CONSTRAINT accounts_not_overdrawn CHECK (balance >= 0));
            INSERT INTO accounts VALUES (1, 100), (2, 100)";
        execute(&url, schema).await;
        let database = database(&url, &[]);
        Self { url, database }
    }

    /// The same through another address.
    pub fn at(self, url: &str) -> Self {
        let database = database(url, &[]);
        Self { database, ..self }
    }

    /// A pool of sqlx, for the controls.
    pub async fn plain(&self) -> PgPool {
        PgPool::connect(&self.url).await.unwrap()
    }
}

pub fn database(url: &str, settings: &'static [(&str, &str)]) -> Database {
    let url = url.to_owned();
    let env = Env::new(move |key| match key {
        "DATABASE_URL" => Some(url.clone()),
        key => settings
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| (*value).to_owned()),
    });
    Database::from_env(&env)
}

pub fn within(time: Duration) -> Deadline {
    Deadline::default().earlier(Instant::now() + time)
}

/// Adds to an account.
pub const ADD: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";
/// What all accounts have.
pub const TOTAL: &str = "SELECT sum(balance)::bigint FROM accounts";

pub fn connection(database: &Database) -> Connection {
    database.connection(&within(Duration::from_secs(20)))
}

pub async fn add(connection: &Connection) -> sqlx::Result<u64> {
    let add = sqlx::query(ADD).bind(1_i64).bind(1).execute(connection).await;
    add.map(|done| done.rows_affected())
}
