//! What a function declares: its routes, how its answers leave, and its check.

use super::Outcome;
use crate::health::{Check, process};
use axum::{Router, routing::MethodRouter};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// A function, as every life runs it.
pub struct Service {
    routes: Router,
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
    /// A function with these routes, each under its full public path. Unless it says otherwise, its answers leave in one
    /// piece, and its check is that the process runs. The runtime adds `GET /health`, for the probes of a platform.
    pub fn new(routes: Router) -> Self {
        Self {
            routes,
            responses: Responses::Buffered,
            check: None,
        }
    }

    /// A function with one route, which reports on a dependency: `handler` answers with the report of `check`, and its job
    /// prints the same report.
    pub fn probe(path: &str, handler: MethodRouter<Check>, check: Check) -> Self {
        let routes = Router::new().route(path, handler).with_state(check.clone());
        Self::new(routes).check(async move { check.report().await })
    }

    /// The same function, whose answers leave chunk by chunk, with at least one chunk every `heartbeat`.
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
            routes: self.routes.merge(other.routes),
            responses: self.responses.max(other.responses),
            check: self.check,
        }
    }

    /// How the answers leave.
    pub fn responses(&self) -> Responses {
        self.responses
    }

    /// Every route, `GET /health` included.
    pub fn router(self) -> Router {
        self.into_parts().0
    }

    /// Every route, `GET /health` included, how answers leave, and the check.
    pub(super) fn into_parts(self) -> (Router, Responses, BoxFuture<'static, Outcome>) {
        let Self {
            routes,
            responses,
            check,
        } = self;
        let routes = routes.route(process::PATH, process::alive());
        let check = check.unwrap_or_else(|| Box::pin(async { process::report().into() }));
        (routes, responses, check)
    }
}
