//! A route: what a function declares of it.

#[cfg(feature = "callers")]
use super::gate;
#[cfg(feature = "callers")]
use crate::callers::Callers;
#[cfg(feature = "database")]
use crate::idempotency;
use crate::{
    body::Content,
    problem::{ProblemType, RUNTIME, Slug},
};
#[cfg(any(feature = "callers", feature = "database"))]
use axum::middleware::from_fn;
use axum::{
    handler::Handler,
    http::Method,
    middleware::map_response,
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use std::{fmt, future::ready};

/// A route, declared once, beside its handler: its method, its path, who may call it, what body it takes, and what problems it
/// answers. It takes no body unless [`Route::takes`] says so, and a process whose route names no policy does not start.
///
/// `S` is the state that its handler extracts; [`Route::with_state`] hands it over.
pub struct Route<S = ()> {
    declared: Declared,
    handler: MethodRouter<S>,
}

/// Who may call a route.
#[derive(Clone)]
pub enum Policy {
    /// Anyone.
    Public,
    /// Callers that are known.
    #[cfg(feature = "callers")]
    Callers {
        /// Verifies their tokens.
        callers: Callers,
        /// What their tokens must permit; nothing in particular, if empty.
        scopes: &'static [&'static str],
    },
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("Public"),
            #[cfg(feature = "callers")]
            Self::Callers { scopes, .. } => write!(f, "Callers({scopes:?})"),
        }
    }
}

/// What a route says of itself.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The method. A route for GET answers HEAD, too.
    pub method: Method,
    /// The full public path, with `{parameters}` and perhaps a `{*rest}`, as in the route table of the root manifest.
    pub path: &'static str,
    /// The body that it takes. `None`: a request with content is refused.
    pub content: Option<Content>,
    /// Who may call it. `None`: it does not say, and the process does not start.
    pub policy: Option<Policy>,
    /// The problems that its handler answers. The runtime answers [`RUNTIME`], too.
    pub problems: Vec<&'static ProblemType>,
    /// Whether its requests have an `Idempotency-Key`.
    pub once: bool,
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {
        $(
            #[doc = concat!("A route for ", stringify!($method), ".")]
            pub fn $name<T: 'static>(path: &'static str, handler: impl Handler<T, S>) -> Self {
                Self::new(Method::$method, path, on(MethodFilter::$method, handler))
            }
        )*
    };
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    methods! { get GET post POST put PUT patch PATCH delete DELETE }

    fn new(method: Method, path: &'static str, handler: MethodRouter<S>) -> Self {
        let declared = Declared {
            method,
            path,
            content: None,
            policy: None,
            problems: Vec::new(),
            once: false,
        };
        Self { declared, handler }
    }

    /// Anyone may call it.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.declared.policy = Some(Policy::Public);
        self
    }

    /// Callers that are known may call it: their token is one that `callers` takes, or the platform has verified them. Its
    /// handler may extract the [`Caller`](crate::callers::Caller). Requests and answers end with the token.
    #[cfg(feature = "callers")]
    #[must_use]
    pub fn callers(self, callers: &Callers) -> Self {
        self.scopes(callers, &[])
    }

    /// As [`Route::callers`], for tokens that have each of these scopes.
    ///
    /// A scope for a path, such as `streams:read:cases/` ([`Caller::may`](crate::callers::Caller::may)), permits requests whose
    /// `{*rest}` lies below that path. On a route without a `{*rest}`, it permits nothing.
    /// Parameters before the rest are no part of that path: `files:read:cases/` reads `/t/{tenant}/files/{*rest}` below `cases/`
    /// of every tenant. Such a route is one for [`Route::callers`], whose handler asks `caller.may(..)` for the path with its tenant.
    #[cfg(feature = "callers")]
    #[must_use]
    pub fn scopes(mut self, callers: &Callers, scopes: &'static [&'static str]) -> Self {
        let callers = callers.clone();
        self.declared.policy = Some(Policy::Callers { callers, scopes });
        self.answering(gate::problems())
    }

    /// It takes a body: [`crate::body::json`] or [`crate::body::stream`], up to a limit.
    #[must_use]
    pub fn takes(mut self, content: Content) -> Self {
        self.declared.content = Some(content);
        self
    }

    /// Its handler answers these problems, beside those of the runtime: the API document lists them. In debug builds, the
    /// handler panics where it answers another one.
    #[must_use]
    pub fn problems(self, problems: &'static [ProblemType]) -> Self {
        self.answering(problems)
    }

    /// Each once: a handler may answer what its gate does, such as a missing scope.
    fn answering(mut self, problems: impl IntoIterator<Item = &'static ProblemType>) -> Self {
        for kind in problems {
            if !self.declared.problems.contains(&kind) {
                self.declared.problems.push(kind);
            }
        }
        self
    }

    /// Its requests have an `Idempotency-Key`, for handlers that extract [`Once`](crate::idempotency::Once). One without is
    /// refused before its body is read.
    ///
    /// # Panics
    /// It is a route for GET, which may be repeated anyway: a test that builds the function finds it.
    #[cfg(feature = "database")]
    #[must_use]
    pub fn once(mut self) -> Self {
        assert_ne!(self.declared.method, Method::GET, "{}", self.declared.path);
        self.declared.once = true;
        self.handler = self.handler.route_layer(from_fn(idempotency::admit));
        self.problems(idempotency::PROBLEMS)
    }

    /// With the state that its handler extracts.
    pub fn with_state(self, state: S) -> Route {
        Route {
            declared: self.declared,
            handler: self.handler.with_state(state),
        }
    }
}

impl Route {
    /// What it says of itself.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Lets its body be no larger than the platform hands over.
    pub(super) fn limit_body(&mut self, most: u64) {
        let Declared {
            method,
            path,
            content: Some(content),
            ..
        } = &mut self.declared
        else {
            return;
        };
        if content.limit() > most {
            let limit = content.limit();
            tracing::warn!(%method, path, limit, most, "the platform hands over less than this route takes: more gets 413");
            *content = content.at_most(most);
        }
    }

    /// What it says of itself, and its handler, which in debug builds panics where it answers an undeclared problem.
    pub(super) fn into_parts(self) -> (Declared, MethodRouter) {
        let Self { declared, mut handler } = self;
        #[cfg(feature = "callers")]
        if !matches!(declared.policy, Some(Policy::Public)) {
            handler = handler.route_layer(from_fn(gate::require));
        }
        if cfg!(debug_assertions) {
            let declared = declared.clone();
            handler = handler.layer(map_response(move |response: Response| {
                declared.check(&response);
                ready(response)
            }));
        }
        (declared, handler)
    }
}

impl Declared {
    fn check(&self, response: &Response) {
        let Some(Slug(slug)) = response.extensions().get() else {
            return;
        };
        let mut problems = self.problems.iter().copied().chain(RUNTIME);
        assert!(
            problems.any(|kind| kind.slug == *slug),
            "the problem {slug} is not declared: Route::{}({:?}, ..).problems(..)",
            self.method.as_str().to_lowercase(),
            self.path
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        problem::{self, Problem},
        runtime::routes::Routes,
    };
    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use tower::ServiceExt;

    const SOLD_OUT: ProblemType = ProblemType {
        slug: "sold-out",
        status: StatusCode::CONFLICT,
        title: "Sold Out",
        detail: "There is none left.",
    };

    async fn answered(problem: ProblemType, declared: &'static [ProblemType]) -> StatusCode {
        let route = Route::get("/", async move || Problem::new(&problem)).public();
        let route = route.problems(declared);
        let request = Request::get("/").body(Body::empty()).unwrap();
        Routes::new(vec![route]).router.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    #[should_panic(expected = "the problem sold-out is not declared: Route::get(\"/\", ..).problems(..)")]
    async fn a_problem_that_no_route_declares_is_found_by_any_test_that_causes_it() {
        answered(SOLD_OUT, &[]).await;
    }

    #[tokio::test]
    async fn the_problems_of_a_route_and_of_the_runtime_are_answered() {
        assert_eq!(answered(SOLD_OUT, &[SOLD_OUT]).await, 409);
        assert_eq!(answered(problem::INTERNAL, &[]).await, 500);
    }

    #[cfg(feature = "callers")]
    #[test]
    fn a_problem_that_the_gate_and_the_handler_answer_is_declared_once() {
        static MISSING: [ProblemType; 1] = [crate::callers::SCOPE_MISSING];
        let callers = Callers::from_env(&crate::config::Env::new(|_| None));
        let route = || Route::<()>::get("/", async || ());
        for route in [
            route().callers(&callers).problems(&MISSING),
            route().problems(&MISSING).callers(&callers),
        ] {
            let problems = &route.declared().problems;
            let missing = problems.iter().filter(|kind| kind.slug == MISSING[0].slug);
            assert_eq!(missing.count(), 1);
            assert_eq!(problems.len(), gate::problems().count(), "the others are there, too");
        }
    }
}
