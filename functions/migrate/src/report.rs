//! The report of a command: JSON for a platform, text for a person.

use super::command::USAGE;
use serde_json::{Value, json};
use shared::database::{File, MigrateError, Migration, RecordedRun, Run, Schema};
use std::fmt::Write;

/// The status of a `stamp` that succeeded.
pub const STAMPED: &str = "stamped";

/// Only `Failed` and `Usage` end the process with 1: what `status` finds is not a failure.
pub enum Report {
    /// The status where something was done, and the run.
    Run(&'static str, Run),
    Plan(Vec<File>),
    Status(Schema, Vec<Migration>, Option<String>),
    History(Vec<RecordedRun>),
    Failed(MigrateError),
    Usage,
    Help,
}

impl Report {
    /// An object with a `status`: `migrated`, `reverted`, `stamped`, `nothing_to_do`, `ahead`; `pending` for a plan;
    /// `current` or a reason of `/health/db` for the status; `recorded` for the history; `failed` with a `reason`.
    pub fn json(&self) -> Value {
        let status = self.status();
        match self {
            Self::Run(_, run) => json!({
                "status": status,
                "version_before": run.version_before,
                "version_after": run.version_after,
                "duration_ms": run.duration_ms,
            }),
            Self::Plan(files) => json!({"status": status, "files": files}),
            Self::Status(schema, migrations, invalid) => json!({
                "status": status,
                "schema": schema,
                "migrations": migrations,
                "invalid_indexes": invalid,
            }),
            Self::History(runs) => json!({"status": status, "runs": runs}),
            Self::Failed(error) => {
                json!({"status": status, "reason": error.reason(), "detail": error.to_string()})
            }
            Self::Usage | Self::Help => json!({"status": status, "usage": USAGE}),
        }
    }

    /// The report for a person. A plan is SQL.
    pub fn text(&self) -> String {
        match self {
            Self::Run(_, run) if run.ahead => format!("the database is ahead, at version {}", run.version_after),
            Self::Run(..) if self.status() == "nothing_to_do" => "nothing to do".to_owned(),
            Self::Run(done, run) => format!(
                "{done} from version {} to {} in {} ms",
                run.version_before, run.version_after, run.duration_ms
            ),
            Self::Plan(files) if files.is_empty() => "-- nothing to do".to_owned(),
            Self::Plan(files) => files.iter().map(planned).collect::<Vec<_>>().join("\n"),
            Self::Status(schema, migrations, invalid) => {
                standing(self.status(), *schema, migrations, invalid.as_deref())
            }
            Self::History(runs) if runs.is_empty() => "no run is recorded".to_owned(),
            Self::History(runs) => runs.iter().map(recorded).collect::<Vec<_>>().join("\n"),
            Self::Failed(error) => format!("failed ({}): {error}", error.reason()),
            Self::Usage | Self::Help => USAGE.to_owned(),
        }
    }

    fn status(&self) -> &'static str {
        match self {
            Self::Run(_, run) if run.ahead => "ahead",
            // A stamp may repair what is recorded without moving it.
            Self::Run(done, run) if *done != STAMPED && run.version_before == run.version_after => "nothing_to_do",
            Self::Run(done, _) => done,
            Self::Plan(files) if files.is_empty() => "nothing_to_do",
            Self::Plan(_) => "pending",
            Self::Status(schema, ..) => match schema.fault {
                Some(fault) => fault.as_str(),
                None if schema.is_ahead() => "schema_ahead",
                None => "current",
            },
            Self::History(_) => "recorded",
            Self::Help => "help",
            Self::Failed(_) | Self::Usage => "failed",
        }
    }
}

fn planned(file: &File) -> String {
    let transaction = if file.transaction {
        "in a transaction"
    } else {
        "outside of a transaction"
    };
    format!("-- {}, {transaction}\n{}", file.file, file.sql)
}

fn standing(status: &str, schema: Schema, migrations: &[Migration], invalid: Option<&str>) -> String {
    let mut text = format!("{status}: version {} of {}", schema.current, schema.expected);
    for migration in migrations {
        let state = migration.state.as_str();
        let _ = write!(
            text,
            "\n  {:04} {:8} {}",
            migration.version, state, migration.description
        );
    }
    if let Some(invalid) = invalid {
        let _ = write!(text, "\n{invalid}");
    }
    text
}

fn recorded(run: &RecordedRun) -> String {
    format!(
        "{}  {} to {} in {} ms by release {}",
        run.started_at, run.version_before, run.version_after, run.duration_ms, run.release
    )
}
