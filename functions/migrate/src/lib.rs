//! Applies the reversible files of `migrations/`, embedded in the binary, and says how the schema stands.

use serde_json::{Value, json};
use shared::{
    config::{self, Env},
    database::{Database, Reason},
    runtime::{Job, Outcome},
};

/// The job as every life runs it: `up` (the default) or `status`.
pub fn job(env: &Env) -> Job {
    let database = Database::connect_lazy(config::Database::from_env(env));
    Box::new(move |arguments| {
        let database = database.clone();
        Box::pin(async move { run(&database, &arguments).await })
    })
}

/// Runs one command. The report is a JSON object with a `status`: `migrated`, `nothing_to_do`, `current`, `ahead`, or
/// `failed` with a `reason` from the closed set of the database.
pub async fn run(database: &Database, arguments: &[String]) -> Outcome {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] | ["up"] => up(database).await,
        ["status"] => status(database).await,
        _ => {
            return outcome(false, &json!({"status": "failed", "usage": "migrate [up | status]"}));
        }
    };
    match result {
        Ok(report) => outcome(true, &report),
        Err(reason) => outcome(false, &json!({"status": "failed", "reason": reason.as_str()})),
    }
}

async fn up(database: &Database) -> Result<Value, Reason> {
    let run = database.migrate(env!("CARGO_PKG_VERSION")).await?;
    let changed = run.version_before != run.version_after;
    let mut report = json!({"status": if changed { "migrated" } else { "nothing_to_do" }});
    if let (Some(report), Value::Object(run)) = (report.as_object_mut(), json!(run)) {
        report.extend(run);
    }
    Ok(report)
}

/// A schema that is behind is a finding, not a failure: the exit code is 0 whenever the question could be answered.
async fn status(database: &Database) -> Result<Value, Reason> {
    let schema = database.schema().await?;
    let status = match schema.fault {
        Some(fault) => fault.as_str(),
        None if schema.is_ahead() => "schema_ahead",
        None => "current",
    };
    Ok(json!({"status": status, "schema": schema, "migrations": database.migrations().await?}))
}

fn outcome(success: bool, report: &Value) -> Outcome {
    Outcome {
        success,
        report: report.to_string(),
    }
}
