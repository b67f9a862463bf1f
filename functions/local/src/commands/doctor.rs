//! `local doctor`: reads the deployment files and the environment, and names what is unsafe and why.

mod agreement;
mod declared;
mod rules;

use crate::deployment::{Choice, Deployment, Function};
use declared::Declared;
use rules::{RULES, Rule, STAR};
use shared::config::{self, Env};
use std::{path::Path, process::ExitCode, time::Duration};

/// What the files do not tell.
#[derive(Clone, Copy)]
struct Limits<'a> {
    /// `max_connections` of the server.
    connections: u64,
    /// How many functions an account of Lambda runs at once, where they reserve none of it.
    concurrency: u64,
    /// `SSE_MAX_AGE`, where a function does not set it.
    max_age: Duration,
    /// The functions of this bundle.
    declared: &'a [Declared],
}

impl<'a> Limits<'a> {
    /// The function that a file deploys, if it is one of this bundle.
    fn declared(self, function: &Function) -> Option<&'a Declared> {
        self.declared.iter().find(|declared| declared.is_deployed_as(function))
    }
}

const UNCLEAR: &str = "what the doctor does not know may be unsafe in any of these ways, and is not looked at";

/// Examines the files below `root`, prints what is unsafe, and ends with 1 where something is.
pub fn run(env: &Env, root: &Path) -> ExitCode {
    let declared = Declared::all();
    let limits = Limits {
        connections: env.parse("POSTGRES_MAX_CONNECTIONS", 100, "a number of connections", |text| {
            text.parse().ok()
        }),
        // What a new account has.
        concurrency: env.parse("LAMBDA_CONCURRENCY", 10, "a number of concurrent executions", |text| {
            text.parse().ok()
        }),
        max_age: config::Stream::from_env(env).max_age,
        declared: &declared,
    };
    let deployment = Deployment::read(root, env, None);
    let mut findings: Vec<String> = Vec::new();
    if deployment.functions.is_empty() {
        findings.push(format!(
            "{}: no function is deployed by template.yaml, functions/*/service.yaml or functions/*/job.yaml",
            root.display()
        ));
    }
    if env.text("CORS_ORIGINS").is_some_and(|origins| origins.contains('*')) {
        findings.push(format!("the environment: CORS_ORIGINS has a *\n    {STAR}"));
    }
    let unknown = deployment
        .functions
        .iter()
        .filter(|function| limits.declared(function).is_none());
    findings.extend(unknown.map(|function| {
        let binaries = function.binaries.join(", ");
        format!(
            "{}: runs {binaries:?}, which is no function of this bundle\n    {UNCLEAR}",
            function.place
        )
    }));
    let read = |choice: &Choice| Deployment::read(root, env, Some(choice));
    findings.extend(examine_choices(&deployment, read, limits));
    for finding in &findings {
        println!("unsafe: {finding}");
    }
    if findings.is_empty() {
        let (functions, rules) = (deployment.functions.len(), RULES.len());
        println!("safe: {functions} deployed functions, {rules} rules");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is unsafe with the defaults of the parameters, and what only other allowed values make so, with their names.
fn examine_choices(defaults: &Deployment, read: impl Fn(&Choice) -> Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut findings: Vec<(String, Vec<String>)> = Vec::new();
    for finding in examine(defaults, limits) {
        note(&mut findings, finding, None);
    }
    for choice in &defaults.choices {
        let deployment = read(choice);
        for finding in examine(&deployment, limits) {
            note(&mut findings, finding, Some(choice.name(&deployment)));
        }
    }
    let named = findings.into_iter().map(|(finding, names)| match &names[..] {
        [] => finding,
        names => format!("with {}: {finding}", names.join(" or ")),
    });
    named.collect()
}

/// Adds a finding once, with the names of all choices that cause it; without one, the defaults do.
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
