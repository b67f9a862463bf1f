//! The list of functions, from the dependencies of this package: `build.rs` reads them. What `local` serves, the API document,
//! and what the doctor knows are derived from it.

use shared::{
    config::Env,
    runtime::{Job, Service},
};
use utoipa::{OpenApi, openapi};

/// A function with routes.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// The name of its folder, package and binary.
    pub name: &'static str,
    /// Declares the function, with the settings of an environment.
    pub service: fn(&Env) -> Service,
    /// The function's part of the API document.
    pub api: fn() -> openapi::OpenApi,
}

/// Every function with routes, by name.
pub const FUNCTIONS: &[Function] = &include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// The name of a function without a route, and what it runs with these settings.
pub type NamedJob = (&'static str, fn(&Env) -> Job);

/// Every function without a route: its manifest says `job = true`.
pub const JOBS: &[NamedJob] = &include!(concat!(env!("OUT_DIR"), "/jobs.rs"));

impl Function {
    /// Its part of the API document. OpenAPI has no wildcards: there, `{*rest}` is `{rest}`.
    pub fn document(&self) -> openapi::OpenApi {
        let mut document = (self.api)();
        let paths = document.paths.paths.into_iter();
        document.paths.paths = paths.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
        document
    }

    /// The paths of its routes, as its part of the API document has them.
    pub fn paths(&self) -> Vec<String> {
        self.document().paths.paths.into_keys().collect()
    }
}

/// Every function with routes, in one process.
pub fn service(env: &Env) -> Service {
    let services = FUNCTIONS.iter().map(|function| (function.service)(env));
    services.fold(Service::new([]), Service::merge)
}
