//! What functions declare: how their answers leave, and which settings they read.

use crate::deployment::Function;
use shared::{
    config::Env,
    runtime::{Job, Responses, Service},
};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

/// A function as its code has it.
pub struct Declared {
    /// The name of its folder, package and binary.
    pub name: String,
    /// Whether its answers leave chunk by chunk.
    pub streams: bool,
    /// The variables that it reads where none is set.
    reads: BTreeSet<String>,
}

impl Declared {
    /// Every function that is deployed.
    pub fn all() -> Vec<Self> {
        let services = SERVICES.iter().map(|(name, service)| {
            let (service, reads) = watched(service);
            Self {
                name: (*name).to_owned(),
                streams: matches!(service.responses, Responses::Streamed { .. }),
                reads,
            }
        });
        let jobs = JOBS.iter().map(|(name, job)| Self {
            name: (*name).to_owned(),
            streams: false,
            reads: watched(job).1,
        });
        services.chain(jobs).collect()
    }

    #[cfg(test)]
    pub fn for_test(name: &str, streams: bool, reads: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            streams,
            reads: reads.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    /// Whether a file deploys it.
    pub fn is_deployed_as(&self, function: &Function) -> bool {
        function.binaries.contains(&self.name)
    }

    /// Whether it reads one of these variables.
    pub fn reads_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.reads.contains(*name))
    }

    /// Whether it reads all that these settings read.
    pub fn has<T>(&self, settings: impl FnOnce(&Env) -> T) -> bool {
        watched(settings).1.is_subset(&self.reads)
    }
}

/// What `build` makes where no variable is set, and the variables that it asks for.
fn watched<T>(build: impl FnOnce(&Env) -> T) -> (T, BTreeSet<String>) {
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

type Services = [(&'static str, fn(&Env) -> Service)];
const SERVICES: &Services = &[
    ("health", |_| health::service()),
    ("health-db", health_db::service),
    ("health-storage", health_storage::service),
    ("sse", sse::service),
];
const JOBS: [(&str, fn(&Env) -> Job); 1] = [("migrate", migrate::job)];
