//! The schema: the migrations that this build expects, those that are applied, and the migrator that goes from one
//! version to another.

mod files;
mod history;
mod in_transaction;
mod lexer;
mod limit;
mod lock;
mod migrate_error;
mod migrator;
mod names;
mod no_transaction;
mod rolled_back;
mod run;
mod schema;
mod script;
mod session;
mod settings;
mod table;
mod validate;

use super::{Database, Reason, logged};
pub use history::RecordedRun;
pub use migrate_error::MigrateError;
pub use migrator::{File, Migrator, Run};
pub use schema::{Migration, MigrationState, Schema};
pub use settings::MigratorSettings;
pub(super) use {
    files::Files,
    schema::compare,
    table::{Applied, applied},
};
