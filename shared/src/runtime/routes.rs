//! Routes: what a function declares of each, and how requests find their handlers.

use crate::{
    body::Content,
    problem::{self, Problem},
};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use std::{collections::BTreeMap, sync::Arc};

/// A route, declared once, beside its handler: its method, its path, and what body it takes. It takes none unless
/// [`Route::takes`] says so.
///
/// `S` is the state that its handler extracts; [`Route::with_state`] hands it over.
pub struct Route<S = ()> {
    declared: Declared,
    handler: MethodRouter<S>,
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
        };
        Self { declared, handler }
    }

    /// It takes a body: [`crate::body::json`] or [`crate::body::stream`], up to a limit.
    #[must_use]
    pub fn takes(mut self, content: Content) -> Self {
        self.declared.content = Some(content);
        self
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
}

/// The routes of a function, with problems as the answers to unknown paths and wrong methods. A clone copies two pointers.
#[derive(Clone)]
pub struct Routes {
    pub router: Router,
    /// By their paths. Axum's router has the handlers, and says nothing else of a route.
    table: Arc<matchit::Router<Vec<Declared>>>,
}

impl Routes {
    /// # Panics
    /// Two routes are the same, or their paths are in conflict: a test that builds the function finds it.
    pub fn new(routes: Vec<Route>) -> Self {
        let (mut router, mut by_path) = (Router::new(), BTreeMap::<_, Vec<_>>::new());
        for Route { declared, handler } in routes {
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
            table: Arc::new(table),
        }
    }

    /// No route: the same answer to every request.
    pub fn refusing(problem: Problem) -> Self {
        Self {
            router: Router::new().fallback(move || std::future::ready(problem.clone())),
            table: Arc::default(),
        }
    }

    /// The path of the routes that such a path belongs to, whatever their methods.
    pub fn template(&self, path: &str) -> Option<&'static str> {
        let routes = self.table.at(path).ok()?.value;
        routes.first().map(|route| route.path)
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
}
