//! The one list of functions. What `local` serves, the API document, and what the doctor knows are derived from it.

use shared::{
    config::Env,
    runtime::{Job, Service},
};
use utoipa::{OpenApi, openapi};

/// A function with routes.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    krate: &'static str,
    /// Declares the function, with the settings of an environment.
    pub service: fn(&Env) -> Service,
    /// The function's part of the API document.
    pub api: fn() -> openapi::OpenApi,
}

macro_rules! functions {
    ($($krate:ident),* ) => {
        &[$(Function {
            krate: stringify!($krate),
            service: $krate::service,
            api: $krate::Api::openapi,
        }),*]
    };
}

/// Every function with routes.
pub const FUNCTIONS: &[Function] = functions![health, health_db, health_storage, sse];

/// The name of a function without a route, and what it runs with these settings.
pub type NamedJob = (&'static str, fn(&Env) -> Job);

/// Every function without a route.
pub const JOBS: &[NamedJob] = &[("migrate", migrate::job), ("sweep", sweep::job)];

impl Function {
    /// The name of its folder, package and binary.
    pub fn name(&self) -> String {
        self.krate.replace('_', "-")
    }

    /// The paths of its routes, as its part of the API document has them.
    pub fn paths(&self) -> Vec<String> {
        (self.api)().paths.paths.into_keys().collect()
    }
}

/// Every function with routes, in one process.
pub fn service(env: &Env) -> Service {
    let services = FUNCTIONS.iter().map(|function| (function.service)(env));
    services.reduce(Service::merge).expect("there is a function")
}
