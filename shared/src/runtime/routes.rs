//! The routes of a function: how requests find their handlers, and what their routes declare.

use super::route::{Declared, Route};
use crate::problem::{self, Problem};
#[cfg(feature = "callers")]
use crate::runtime::{Cors, Policy, gate::Gate};
#[cfg(feature = "callers")]
use axum::http::Request;
use axum::{Router, http::Method};
#[cfg(feature = "callers")]
use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, future::ready, sync::Arc};

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
