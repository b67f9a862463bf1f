//! Routes: what a function declares of each, and how requests find their handlers.

#[cfg(feature = "callers")]
use super::gate::{self, Gate};
#[cfg(feature = "database")]
use crate::idempotency;
use crate::{
    body::Content,
    problem::{self, Problem, ProblemType, RUNTIME, Slug},
};
#[cfg(feature = "callers")]
use crate::{callers::Callers, runtime::Cors};
#[cfg(feature = "callers")]
use axum::http::Request;
#[cfg(any(feature = "callers", feature = "database"))]
use axum::middleware::from_fn;
use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware::map_response,
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
#[cfg(feature = "callers")]
use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, fmt, future::ready, sync::Arc};

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
    #[cfg(feature = "callers")]
    #[must_use]
    pub fn scopes(mut self, callers: &Callers, scopes: &'static [&'static str]) -> Self {
        let callers = callers.clone();
        self.declared.policy = Some(Policy::Callers { callers, scopes });
        self.declared.problems.extend(gate::problems());
        self
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
    pub fn problems(mut self, problems: &'static [ProblemType]) -> Self {
        self.declared.problems.extend(problems);
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
    fn into_parts(self) -> (Declared, MethodRouter) {
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

/// The routes of a function, with problems as the answers to unknown paths and wrong methods. A clone copies two pointers.
#[derive(Clone)]
pub struct Routes {
    pub router: Router,
    /// Whether answers leave chunk by chunk, so that one may be an event stream.
    pub streams: bool,
    /// Which pages may send the token of a caller in a cookie.
    #[cfg(feature = "callers")]
    pub cors: Arc<Cors>,
    /// By their paths. Axum's router has the handlers, and says nothing else of a route.
    table: Arc<matchit::Router<Vec<Declared>>>,
}

impl Routes {
    /// # Panics
    /// Two routes are the same, or their paths are in conflict: a test that builds the function finds it.
    pub fn new(routes: Vec<Route>) -> Self {
        let (mut router, mut by_path) = (Router::new(), BTreeMap::<_, Vec<_>>::new());
        for (declared, handler) in routes.into_iter().map(Route::into_parts) {
            router = router.route(declared.path, handler);
            by_path.entry(declared.path).or_default().push(declared);
        }
        let mut table = matchit::Router::new();
        for (path, declared) in by_path {
            table.insert(path, declared).expect("axum has accepted this path");
        }
        Self {
            router: router
                .fallback(async || Problem::new(&problem::NOT_FOUND))
                .method_not_allowed_fallback(async || Problem::new(&problem::METHOD_NOT_ALLOWED)),
            streams: false,
            #[cfg(feature = "callers")]
            cors: Arc::default(),
            table: Arc::new(table),
        }
    }

    /// No route: the same answer to every request.
    pub fn refusing(problem: Problem) -> Self {
        Self {
            router: Router::new().fallback(move || ready(problem.clone())),
            streams: false,
            #[cfg(feature = "callers")]
            cors: Arc::default(),
            table: Arc::default(),
        }
    }

    /// The path of the routes that such a path belongs to, whatever their methods.
    pub fn template(&self, path: &str) -> Option<&'static str> {
        let routes = self.table.at(path).ok()?.value;
        routes.first().map(|route| route.path)
    }

    /// What such a request has to pass; `None` if anyone may call its route, or if it has none.
    #[cfg(feature = "callers")]
    pub fn gate<B>(&self, request: &Request<B>) -> Option<Gate> {
        let path = request.uri().path();
        let route = self.find(request.method(), path)?;
        let Some(Policy::Callers { callers, scopes }) = &route.policy else {
            return None;
        };
        Some(Gate {
            callers: callers.clone(),
            scopes,
            rest: self.rest(route, path).unwrap_or_default(),
            cors: Arc::clone(&self.cors),
        })
    }

    /// The decoded part of a path that a route has a `{*rest}` for.
    #[cfg(feature = "callers")]
    fn rest(&self, route: &Declared, path: &str) -> Option<String> {
        let (_, name) = route.path.split_once("{*")?;
        let parameters = self.table.at(path).ok()?.params;
        let rest = percent_decode_str(parameters.get(name.trim_end_matches('}'))?);
        Some(rest.decode_utf8_lossy().into_owned())
    }

    /// The route that answers such a request.
    pub fn find(&self, method: &Method, path: &str) -> Option<&Declared> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let routes = self.table.at(path).ok()?.value;
        routes.iter().find(|route| route.method == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;
    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use tower::ServiceExt;

    #[test]
    fn a_request_finds_what_its_route_declares() {
        let routes = Routes::new(vec![
            Route::get("/greetings/{id}", async || {}),
            Route::post("/greetings/{id}", async || {}).takes(json(7)),
            Route::get("/files/{*path}", async || {}),
        ]);
        for (method, path, found) in [
            (Method::GET, "/greetings/1", Some(("/greetings/{id}", None))),
            (Method::HEAD, "/greetings/1", Some(("/greetings/{id}", None))),
            (Method::POST, "/greetings/%2F", Some(("/greetings/{id}", Some(json(7))))),
            (Method::PUT, "/greetings/1", None),
            (Method::GET, "/greetings", None),
            (Method::GET, "/greetings/1/", None),
            (Method::GET, "/files/a/b", Some(("/files/{*path}", None))),
        ] {
            let declared = routes.find(&method, path);
            let declared = declared.map(|declared| (declared.path, declared.content));
            assert_eq!(declared, found, "{method} {path}");
        }
    }

    #[test]
    #[should_panic(expected = "Overlapping method route")]
    fn a_route_that_is_declared_twice_is_found_by_any_test() {
        Routes::new(vec![Route::get("/", async || {}), Route::get("/", async || {})]);
    }

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
}
