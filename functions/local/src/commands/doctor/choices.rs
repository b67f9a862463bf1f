//! A deployment with the defaults of its parameters, and with each other allowed value in turn.

use super::{Limits, examine};
use crate::deployment::{Choice, Deployment};

pub struct Choices {
    pub defaults: Deployment,
    others: Vec<(Choice, Deployment)>,
}

impl Choices {
    /// Reads the files with the defaults, and once more for each other allowed value.
    pub fn read(read: impl Fn(Option<&Choice>) -> Deployment) -> Self {
        let defaults = read(None);
        let others = defaults
            .choices
            .iter()
            .map(|choice| (choice.clone(), read(Some(choice))));
        let others = others.collect();
        Self { defaults, others }
    }

    /// The places that everybody may call with some other value.
    pub fn openable(&self) -> Vec<String> {
        let functions = self.others.iter().flat_map(|(_, deployment)| &deployment.functions);
        let public = functions.filter(|function| function.is_public);
        public.map(|function| function.place.clone()).collect()
    }

    /// Examines all of them. A finding that needs another value names it.
    pub fn examine(&self, limits: Limits<'_>) -> Vec<String> {
        let mut findings = Vec::new();
        for finding in examine(&self.defaults, limits) {
            note(&mut findings, finding, None);
        }
        for (choice, deployment) in &self.others {
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
}

/// Adds a finding once, with every choice that causes it; a finding of the defaults has no choice.
fn note(findings: &mut Vec<(String, Vec<String>)>, finding: String, choice: Option<String>) {
    match findings.iter_mut().find(|(known, _)| *known == finding) {
        Some((_, names)) if !names.is_empty() => names.extend(choice.filter(|name| !names.contains(name))),
        Some(_) => {}
        None => findings.push((finding, choice.into_iter().collect())),
    }
}
