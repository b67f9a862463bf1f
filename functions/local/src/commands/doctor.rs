//! `local doctor`: reads the deployment files and the environment, and prints what is unsafe and why.

mod agreement;
mod callers;
mod declared;
mod rules;

use super::end;
use crate::deployment::{Choice, Deployed, Deployment};
use declared::Declared;
use rules::{RULES, Rule};
use shared::{config::Env, sse};
use std::{path::Path, process::ExitCode, time::Duration};

/// What the rules need to know and the files do not say.
#[derive(Clone, Copy)]
struct Limits<'a> {
    /// `max_connections` of Postgres.
    connections: u64,
    /// The concurrency of a Lambda account, which all functions without a reservation share.
    concurrency: u64,
    /// `SSE_MAX_AGE` of functions that do not set it.
    max_age: Duration,
    /// The functions of this bundle, as their code declares them.
    declared: &'a [Declared],
    /// The places that everybody may call with some value of the parameters.
    openable: &'a [String],
}

impl<'a> Limits<'a> {
    fn from_env(env: &Env, declared: &'a [Declared]) -> Self {
        Self {
            connections: env.parse("POSTGRES_MAX_CONNECTIONS", 100, "a number of connections", |text| {
                text.parse().ok()
            }),
            // The quota of a new account.
            concurrency: env.parse("LAMBDA_CONCURRENCY", 10, "a number of concurrent executions", |text| {
                text.parse().ok()
            }),
            max_age: sse::Settings::from_env(env).max_age,
            declared,
            openable: &[],
        }
    }

    /// What the code of a deployed function declares; `None` if it is not a function of this bundle.
    fn declared(self, function: &Deployed) -> Option<&'a Declared> {
        self.declared.iter().find(|declared| declared.is_deployed_as(function))
    }
}

const UNCLEAR: &str = "what the doctor does not know may be unsafe in any of these ways, and is not looked at";

/// Examines the files below `root` and prints what is unsafe. Exit code 1 if anything is.
pub fn run(env: &Env, root: &Path) -> ExitCode {
    let declared = Declared::all();
    let limits = Limits::from_env(env, &declared);
    let deployment = Deployment::read(root, env, None);
    let read = |choice: &Choice| Deployment::read(root, env, Some(choice));
    let mut findings = strangers(&deployment, root, limits);
    findings.extend(examine(&environment(env), limits));
    findings.extend(examine_choices(&deployment, read, limits));
    if findings.is_empty() {
        let (functions, rules) = (deployment.functions.len(), RULES.len());
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

/// Examines the template with the defaults of its parameters, and with each other allowed value in turn. A finding that needs
/// such a value names it.
fn examine_choices(defaults: &Deployment, read: impl Fn(&Choice) -> Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut findings: Vec<(String, Vec<String>)> = Vec::new();
    let others: Vec<(&Choice, Deployment)> = defaults.choices.iter().map(|choice| (choice, read(choice))).collect();
    let openable = openable(others.iter().map(|(_, deployment)| deployment));
    let openable = &openable;
    let limits = Limits { openable, ..limits };
    for finding in examine(defaults, limits) {
        note(&mut findings, finding, None);
    }
    for (choice, deployment) in &others {
        for finding in examine(deployment, limits) {
            note(&mut findings, finding, Some(choice.name(deployment)));
        }
    }
    let named = findings.into_iter().map(|(finding, names)| match &names[..] {
        [] => finding,
        names => format!("with {}: {finding}", names.join(" or ")),
    });
    named.collect()
}

fn openable<'a>(deployments: impl Iterator<Item = &'a Deployment>) -> Vec<String> {
    let functions = deployments.flat_map(|deployment| &deployment.functions);
    let public = functions.filter(|function| function.is_public);
    public.map(|function| function.place.clone()).collect()
}

/// Adds a finding once, with every choice that causes it; a finding of the defaults has no choice.
fn note(findings: &mut Vec<(String, Vec<String>)>, finding: String, choice: Option<String>) {
    match findings.iter_mut().find(|(known, _)| *known == finding) {
        Some((_, names)) if !names.is_empty() => names.extend(choice.filter(|name| !names.contains(name))),
        Some(_) => {}
        None => findings.push((finding, choice.into_iter().collect())),
    }
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
