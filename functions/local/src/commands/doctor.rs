//! `local doctor`: reads the deployment files and the environment, and prints what is unsafe and why.

mod agreement;
mod callers;
mod choices;
mod connections;
mod declared;
mod limits;
mod rules;

use super::end;
use crate::deployment::{Deployed, Deployment};
use choices::Choices;
use declared::Declared;
use limits::Limits;
use rules::{RULES, Rule};
use shared::config::Env;
use std::{path::Path, process::ExitCode};

const UNCLEAR: &str = "what the doctor does not know may be unsafe in any of these ways, and is not looked at";

/// Examines the files below `root` and prints what is unsafe. Exit code 1 if anything is.
pub fn run(env: &Env, root: &Path) -> ExitCode {
    let declared = Declared::all();
    let choices = Choices::read(|choice| Deployment::read(root, env, choice));
    let openable = choices.openable();
    let limits = Limits::from_env(env, &declared, &openable);
    let mut findings = strangers(&choices.defaults, root, limits);
    findings.extend(examine(&environment(env), limits));
    findings.extend(choices.examine(limits));
    if findings.is_empty() {
        let (functions, rules) = (choices.defaults.functions.len(), RULES.len());
        let safe = format_args!("safe: {functions} deployed functions, {rules} rules");
        return end(safe, ExitCode::SUCCESS);
    }
    let findings = findings.iter().map(|finding| format!("unsafe: {finding}"));
    end(findings.collect::<Vec<_>>().join("\n"), ExitCode::FAILURE)
}

/// The environment of this process, as if a function had it: the scripts that deploy hand it over.
fn environment(env: &Env) -> Deployment {
    let settings = callers::SETTINGS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), Some(env.text(key)?))));
    let environment = Deployed {
        place: "the environment".to_owned(),
        settings: settings.collect(),
        ..Deployed::default()
    };
    Deployment {
        functions: vec![environment],
        ..Deployment::default()
    }
}

/// A folder that deploys nothing, and deployed functions that are not of this bundle.
fn strangers(deployment: &Deployment, root: &Path, limits: Limits<'_>) -> Vec<String> {
    if deployment.functions.is_empty() {
        return vec![format!(
            "{}: no function is deployed by template.yaml, functions/*/service.yaml or functions/*/job.yaml",
            root.display()
        )];
    }
    let functions = deployment.functions.iter();
    let strangers = functions.filter(|function| limits.declared(function).is_none());
    strangers
        .map(|function| {
            let (place, binaries) = (&function.place, function.binaries.join(", "));
            format!("{place}: runs {binaries:?}, which is not a function of this bundle\n    {UNCLEAR}")
        })
        .collect()
}

fn examine(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let broken = |rule: &Rule| {
        let places = (rule.broken)(deployment, limits);
        let why = rule.why;
        places.into_iter().map(move |place| format!("{place}\n    {why}"))
    };
    let unclear = deployment.unclear.iter();
    let unclear = unclear.map(|place| format!("{place}\n    {UNCLEAR}"));
    RULES.iter().flat_map(broken).chain(unclear).collect()
}

#[cfg(test)]
mod tests;
