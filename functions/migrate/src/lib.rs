//! The migration job: applies and reverts the files of `migrations/`, which are embedded in the binary, and reports the
//! state of the schema.

mod command;
mod report;

pub use command::USAGE;
use command::{Arguments, Command};
use report::{Report, STAMPED};
use shared::{
    config::Env,
    database::{Database, MigrateError, Migrator, MigratorSettings},
    runtime::{Format, Job, Outcome},
};

/// The job as every life runs it.
pub fn job(env: &Env) -> Job {
    let database = Database::from_env(env);
    let migrator = database.migrator(MigratorSettings::from_env(env), env!("CARGO_PKG_VERSION"));
    Box::new(move |arguments, format, deadline| {
        let migrator = migrator.within(deadline);
        Box::pin(async move { run(&migrator, &arguments, format).await })
    })
}

async fn run(migrator: &Migrator, arguments: &[String], format: Format) -> Outcome {
    let Arguments { command, json } = Arguments::parse(arguments);
    let report = match command {
        Some(command) => execute(migrator, command).await.unwrap_or_else(Report::Failed),
        None => Report::Usage,
    };
    Outcome {
        success: !matches!(report, Report::Failed(_) | Report::Usage),
        report: if json || format == Format::Json {
            report.json().to_string()
        } else {
            report.text()
        },
    }
}

async fn execute(migrator: &Migrator, command: Command) -> Result<Report, MigrateError> {
    Ok(match command {
        Command::Up { to } => Report::Run("migrated", migrator.up(to).await?),
        Command::Down { count } => Report::Run("reverted", migrator.down(count).await?),
        Command::Stamp { version } => Report::Run(STAMPED, migrator.stamp(version).await?),
        Command::Plan => Report::Plan(migrator.plan().await?),
        Command::Status => {
            let (schema, migrations, invalid_indexes) = migrator.status().await?;
            Report::Status(schema, migrations, invalid_indexes)
        }
        Command::History => Report::History(migrator.history().await?),
        Command::Help => Report::Help,
    })
}
