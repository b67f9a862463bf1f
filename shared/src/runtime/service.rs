//! What a function declares: its routes, how its answers leave, and its check.

use super::{
    Outcome,
    route::{Declared, Route},
    routes::Routes,
};
use crate::{
    config::Env,
    health::{Check, process},
};
use axum::Router;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// A function, as every life runs it.
pub struct Service {
    routes: Vec<Route>,
    responses: Responses,
    /// `None`: the check is that the process runs.
    check: Option<BoxFuture<'static, Outcome>>,
}

/// How the answers of a function leave. `InvokeMode` of its Function URL must say the same.
// `repr(u8)` gives the enum a tag beside the duration, not in its spare values. The linker then drops the branch that a
// function never takes: 14 KB of one that streams.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Responses {
    /// In one piece: `BUFFERED`.
    Buffered,
    /// Chunk by chunk: `RESPONSE_STREAM`.
    Streamed {
        /// The longest silence on a stream. A client that acknowledges nothing for that long is gone.
        heartbeat: Duration,
    },
}

impl Service {
    /// A function with these routes. Unless it says otherwise, its answers leave in one piece, and its check is that the
    /// process runs. The runtime adds `GET /health`, for the probes of a platform.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        Self {
            routes: routes.into_iter().collect(),
            responses: Responses::Buffered,
            check: None,
        }
    }

    /// A function with one route, which reports on a dependency: its handler answers with the report of `check`, and its job
    /// prints the same report.
    pub fn probe(route: Route<Check>, check: Check) -> Self {
        let route = route.with_state(check.clone());
        Self::new([route]).check(async move { check.report().await })
    }

    /// The same function, whose answers leave chunk by chunk, those that are event streams with at least one chunk every
    /// `heartbeat`. Without it, an answer that is an event stream is replaced by an error.
    // Inlined, like `check`: a function's responses are then a constant of its binary, as `Responses` needs it.
    #[must_use]
    #[inline(always)]
    pub fn streamed(self, heartbeat: Duration) -> Self {
        let responses = Responses::Streamed { heartbeat };
        Self { responses, ..self }
    }

    /// The same function, whose job runs this check.
    #[must_use]
    #[inline(always)]
    pub fn check<T: Into<Outcome>>(self, check: impl Future<Output = T> + Send + 'static) -> Self {
        let check = Box::pin(async { check.await.into() });
        Self {
            check: Some(check),
            ..self
        }
    }

    /// Both functions in one process, with the check of the first. Answers leave chunk by chunk if either function streams,
    /// with the longer of the two heartbeats.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            routes: self.routes.into_iter().chain(other.routes).collect(),
            responses: self.responses.max(other.responses),
            check: self.check,
        }
    }

    /// The same function, whose bodies are no larger than the platform hands over.
    #[must_use]
    pub(super) fn limit_bodies(mut self, most: u64) -> Self {
        for route in &mut self.routes {
            route.limit_body(most);
        }
        self
    }

    /// How the answers leave.
    pub fn responses(&self) -> Responses {
        self.responses
    }

    /// What its routes say of themselves, without `GET /health`.
    pub fn routes(&self) -> impl Iterator<Item = &Declared> {
        self.routes.iter().map(Route::declared)
    }

    /// Refuses each route that does not say who may call it: a process with one does not start.
    pub fn refuse_undeclared(&self, env: &Env) {
        for route in self.undeclared() {
            let policy = format!("the policy of {} {}", route.method, route.path);
            env.refuse_part(policy, "Route::public, callers or scopes");
        }
    }

    /// The routes that do not say who may call them.
    pub fn undeclared(&self) -> impl Iterator<Item = &Declared> {
        self.routes().filter(|route| route.policy.is_none())
    }

    /// # Panics
    /// A route does not say who may call it.
    #[must_use]
    pub(super) fn declared(self) -> Self {
        if let Some(route) = self.undeclared().next() {
            panic!("{} {} does not say who may call it", route.method, route.path);
        }
        self
    }

    /// Every route, `GET /health` included, without what surrounds a request: for tests and checks.
    ///
    /// # Panics
    /// A route does not say who may call it.
    pub fn router(self) -> Router {
        self.declared().into_parts().0.router
    }

    /// Every route, `GET /health` included, how answers leave, and the check.
    pub(super) fn into_parts(self) -> (Routes, Responses, BoxFuture<'static, Outcome>) {
        let Self {
            mut routes,
            responses,
            check,
        } = self;
        process::started();
        routes.push(Route::get(process::PATH, process::health).public());
        let check = check.unwrap_or_else(|| Box::pin(async { process::report().into() }));
        let mut routes = Routes::new(routes);
        routes.streams = responses != Responses::Buffered;
        (routes, responses, check)
    }
}
