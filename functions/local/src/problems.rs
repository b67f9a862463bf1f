//! The problems that can leave: those of the runtime, and those that the routes of the functions declare.

use crate::functions;
use shared::{
    config::Env,
    problem::{ProblemType, RUNTIME},
};
use std::collections::BTreeMap;

/// A type of problem.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its slug, status and texts.
    pub kind: &'static ProblemType,
    /// The routes that declare it, as `GET /path`. Empty for one of the runtime, which any route answers.
    pub routes: Vec<String>,
}

/// Every type, by its slug.
pub fn all() -> Vec<Answered> {
    let runtime = RUNTIME.iter().map(|kind| (kind, Vec::new()));
    let mut problems: BTreeMap<&str, Answered> = runtime
        .map(|(kind, routes)| (kind.slug, Answered { kind, routes }))
        .collect();
    let service = functions::service(&Env::new(|_| None));
    for declared in service.routes() {
        for kind in &declared.problems {
            let routes = Vec::new();
            let problem = problems.entry(kind.slug).or_insert(Answered { kind, routes });
            let is_of_runtime = RUNTIME.iter().any(|known| known.slug == kind.slug);
            if !is_of_runtime {
                problem.routes.push(format!("{} {}", declared.method, declared.path));
            }
        }
    }
    problems.into_values().collect()
}
