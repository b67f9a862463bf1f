//! What the code of each function declares: whether it streams, what it reports, and which variables it reads.

use crate::{
    deployment::Deployed,
    functions::{FUNCTIONS, Function, JOBS},
};
use shared::{
    body::LAMBDA_LIMIT,
    config::Env,
    health::process,
    runtime::{Declared as Route, Policy, Responses, Service},
};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc};
use utoipa::openapi::{RefOr, Response};

/// A function, as its code declares it.
pub struct Declared {
    /// The name of its folder, package and binary.
    pub name: String,
    /// Whether it streams its answers.
    pub streams: bool,
    /// The routes that take larger bodies than Lambda hands over, each with its limit in bytes.
    pub large_bodies: Vec<(String, u64)>,
    /// The routes that anybody may call, and that change something.
    pub public_writes: Vec<String>,
    /// The routes that do not say who may call them.
    pub undeclared: Vec<String>,
    /// The routes that ask for scopes.
    pub scoped: Vec<String>,
    /// Whether it has routes that not everybody may call.
    pub has_protected_routes: bool,
    /// Whether a route of its own reports health: that of what it depends on.
    pub reports: bool,
    /// The variables that it asks for while it is built with an empty environment.
    reads: BTreeSet<String>,
}

impl Declared {
    /// Every function that is deployed, from the code in this binary.
    pub fn all() -> Vec<Self> {
        let services = FUNCTIONS.iter().map(|function| {
            let (service, reads) = watched(function.service);
            Self {
                name: function.name.to_owned(),
                streams: matches!(service.responses(), Responses::Streamed { .. }),
                large_bodies: large_bodies(&service),
                public_writes: public_writes(&service),
                undeclared: undeclared(&service),
                scoped: names(&service, asks_for_scopes),
                has_protected_routes: service.routes().any(is_protected),
                reports: reports(function),
                reads,
            }
        });
        let jobs = JOBS
            .iter()
            .map(|(name, job)| Self::without_routes(name, watched(job).1));
        services.chain(jobs).collect()
    }

    fn without_routes(name: &str, reads: BTreeSet<String>) -> Self {
        Self {
            name: name.to_owned(),
            streams: false,
            large_bodies: Vec::new(),
            public_writes: Vec::new(),
            undeclared: Vec::new(),
            scoped: Vec::new(),
            has_protected_routes: false,
            reports: false,
            reads,
        }
    }

    #[cfg(test)]
    pub fn for_test(name: &str, streams: bool, reads: &[&str]) -> Self {
        let reads = reads.iter().map(|key| (*key).to_owned()).collect();
        Self {
            streams,
            ..Self::without_routes(name, reads)
        }
    }

    /// Whether this is the function that a file deploys.
    pub fn is_deployed_as(&self, function: &Deployed) -> bool {
        function.binaries.contains(&self.name)
    }

    /// Whether it reads one of these variables.
    pub fn reads_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.reads.contains(*name))
    }

    /// Whether it reads these settings: all variables that `settings` asks for.
    pub fn has<T>(&self, settings: impl FnOnce(&Env) -> T) -> bool {
        watched(settings).1.is_subset(&self.reads)
    }
}

fn large_bodies(service: &Service) -> Vec<(String, u64)> {
    let limit = |route: &Route| Some((format!("{} {}", route.method, route.path), route.content?.limit()));
    let limits = service.routes().filter_map(limit);
    limits.filter(|(_, limit)| *limit > LAMBDA_LIMIT).collect()
}

fn is_protected(route: &Route) -> bool {
    matches!(route.policy, Some(Policy::Callers { .. }))
}

fn asks_for_scopes(route: &Route) -> bool {
    matches!(&route.policy, Some(Policy::Callers { scopes, .. }) if !scopes.is_empty())
}

fn public_writes(service: &Service) -> Vec<String> {
    let is_public = |route: &Route| matches!(route.policy, Some(Policy::Public));
    names(service, |route| is_public(route) && !route.method.is_safe())
}

fn undeclared(service: &Service) -> Vec<String> {
    names(service, |route| route.policy.is_none())
}

/// The method and the path of every route that a rule is about.
fn names(service: &Service, matches: impl Fn(&Route) -> bool) -> Vec<String> {
    let routes = service.routes().filter(|route| matches(route));
    routes.map(|route| format!("{} {}", route.method, route.path)).collect()
}

/// As the API document has it: by the media type of reports.
fn reports(function: &Function) -> bool {
    let mut paths = function.document().paths.paths.into_iter();
    paths.any(|(path, item)| {
        let report = |response: &RefOr<Response>| match response {
            RefOr::T(response) => response.content.contains_key("application/health+json"),
            RefOr::Ref(_) => false,
        };
        path != process::PATH && item.get.is_some_and(|get| get.responses.responses.values().any(report))
    })
}

/// Builds with an empty environment. Returns what was built, and the variables it asked for.
pub fn watched<T>(build: impl FnOnce(&Env) -> T) -> (T, BTreeSet<String>) {
    let asked = Rc::new(RefCell::new(BTreeSet::new()));
    let env = Env::new({
        let asked = Rc::clone(&asked);
        move |key| {
            asked.borrow_mut().insert(key.to_owned());
            None
        }
    });
    let built = build(&env);
    let asked = asked.take();
    (built, asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{callers::Callers, runtime};

    #[test]
    fn public_routes_that_write_and_routes_without_a_policy_are_found_by_their_methods() {
        let callers = Callers::from_env(&Env::new(|_| None));
        let service = Service::new([
            runtime::Route::get("/a", async || ()).public(),
            runtime::Route::post("/b", async || ()).public(),
            runtime::Route::put("/c", async || ()).public(),
            runtime::Route::patch("/d", async || ()).public(),
            runtime::Route::delete("/e", async || ()).public(),
            runtime::Route::post("/f", async || ()),
            runtime::Route::post("/g", async || ()).callers(&callers),
            runtime::Route::post("/h", async || ()).scopes(&callers, &["h:write"]),
        ]);
        assert_eq!(public_writes(&service), ["POST /b", "PUT /c", "PATCH /d", "DELETE /e"]);
        assert_eq!(undeclared(&service), ["POST /f"]);
        assert_eq!(names(&service, asks_for_scopes), ["POST /h"]);
        let protected = service.routes().filter(|route| is_protected(route));
        assert_eq!(protected.map(|route| route.path).collect::<Vec<_>>(), ["/g", "/h"]);
    }
}
