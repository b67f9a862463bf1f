//! The problems that can leave: those of the runtime, and those that the routes of the functions declare.

use crate::functions;
use shared::{
    config::Env,
    problem::{ProblemType, RUNTIME},
    runtime::Declared,
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

/// Every type of this bundle, by its slug.
pub fn all() -> Vec<Answered> {
    answered(functions::service(&Env::new(|_| None)).routes())
}

/// Every type of the runtime and of these routes, by its slug.
pub fn answered<'a>(routes: impl Iterator<Item = &'a Declared>) -> Vec<Answered> {
    let mut problems = BTreeMap::new();
    for declared in routes {
        for kind in &declared.problems {
            let route = format!("{} {}", declared.method, declared.path);
            let answered = problems.entry(kind.slug).or_insert_with(|| Answered::new(kind));
            answered.routes.push(route);
        }
    }
    // Any route answers those of the runtime, also where it declares them.
    problems.extend(RUNTIME.iter().map(|kind| (kind.slug, Answered::new(kind))));
    problems.into_values().collect()
}

impl Answered {
    fn new(kind: &'static ProblemType) -> Self {
        let routes = Vec::new();
        Self { kind, routes }
    }
}
