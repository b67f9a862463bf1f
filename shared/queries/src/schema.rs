//! A private Postgres with the schema of `migrations/`.

#[path = "../../src/database/migrations/lexer.rs"]
mod lexer;
#[path = "../../src/database/migrations/script.rs"]
mod script;

use crate::Error;
use postgres::{Options, PrivatePostgres};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection,
    migrate::{Migration, Migrator},
};
use std::path::Path;

/// The database with the schema.
pub const DATABASE: &str = "postgres";

/// Starts a server and applies the migrations of the workspace, each in a session of its own, as `migrate` does.
pub async fn serve(root: &Path) -> Result<PrivatePostgres, Error> {
    let options = Options {
        home: None,
        store: root.join(".local/programs"),
        durable: false,
        tcp_port: None,
        settings: Vec::new(),
    };
    let server = PrivatePostgres::start(&options, |progress| eprintln!("queries: {progress}"))?;
    let migrations = Migrator::new(root.join("migrations")).await?;
    for file in migrations.iter().filter(|file| file.migration_type.is_up_migration()) {
        let applied = apply(file, &server.url(DATABASE)).await;
        applied.map_err(|error| format!("migrations/{}: {error}", name(file)))?;
    }
    Ok(server)
}

async fn apply(file: &Migration, url: &str) -> Result<(), Error> {
    let sql = script::read(file.sql.as_str()).map_err(|flaw| format!("line {}: {}", flaw.line, flaw.cause))?;
    let mut session = PgConnection::connect(url).await?;
    // The statements of one message are one transaction.
    sqlx::raw_sql(AssertSqlSafe(sql.into_owned()))
        .execute(&mut session)
        .await?;
    Ok(session.close().await?)
}

fn name(file: &Migration) -> String {
    let description = file.description.replace(' ', "_");
    format!("{:04}_{description}{}", file.version, file.migration_type.suffix())
}
