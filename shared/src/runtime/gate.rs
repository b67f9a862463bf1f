//! Who may call a route: a request passes to it if its caller is known and has the scopes, before anything is said about its
//! content. Without an answer of the gate, no handler of such a route runs.

mod credentials;
mod origin;

use super::{Cors, middleware, routes::Routes};
use crate::{
    callers::{self, Caller, Callers, SKEW},
    deadline::Deadline,
    problem::{self, Problem, ProblemType},
    telemetry::{self, LoggedRefusal},
};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use credentials::{Credentials, credentials};
pub use credentials::{PlatformCaller, TokenCookie};
use futures_util::FutureExt;
pub use origin::ORIGIN_REFUSED;
use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// What a request has to pass before it reaches its route.
pub struct Gate {
    pub callers: Callers,
    pub scopes: &'static [&'static str],
    /// What the request has in the place of `{*rest}` in the path of its route, decoded, or nothing.
    pub rest: String,
    pub cors: Arc<Cors>,
}

/// What a route with a gate answers: an issuer that cannot be reached is [`problem::UNAVAILABLE`].
pub fn problems() -> impl Iterator<Item = &'static ProblemType> {
    callers::PROBLEMS.iter().chain([&ORIGIN_REFUSED, &problem::UNAVAILABLE])
}

/// Answers a request whose route has a gate. A panic of the verification lets nobody pass.
pub async fn answer(gate: Gate, request: Request, routes: Routes) -> Result<Response, Infallible> {
    let admitted = AssertUnwindSafe(gate.admit(request)).catch_unwind().await;
    let admitted = admitted.unwrap_or_else(|_panic| Err(Problem::internal("the verification of a caller panicked")));
    let mut response = match admitted {
        Ok(request) => middleware::admit(routes, request).await?,
        Err(problem) => return Ok(problem.into_response()),
    };
    keep_private(response.headers_mut());
    vary_by_credentials(response.headers_mut());
    Ok(response)
}

impl Gate {
    async fn admit(self, request: Request) -> Result<Request, Problem> {
        let (mut parts, body) = request.into_parts();
        let deadline: Deadline = parts.extensions.get().cloned().unwrap_or_default();
        let caller = self.identify(&parts, &deadline).await?;
        telemetry::name_caller(caller.issuer(), caller.subject_hash());
        self.check_scopes(&caller)?;
        if let Some(end) = caller.expires().and_then(end) {
            parts.extensions.insert(deadline.earlier(end));
        }
        parts.extensions.insert(caller);
        Ok(Request::from_parts(parts, body))
    }

    async fn identify(&self, parts: &Parts, deadline: &Deadline) -> Result<Caller, Problem> {
        let credentials = credentials(parts, self.cors.token_cookie.as_ref()).map_err(logged)?;
        match credentials {
            Credentials::Header(token) => self.callers.verify(token, deadline).await,
            Credentials::Platform(caller) => Ok(caller.clone()),
            Credentials::Cookie(token) => {
                origin::check(parts, &self.cors).map_err(logged)?;
                self.callers.verify(token, deadline).await
            }
        }
    }

    /// A scope for a path, such as `streams:read:cases/`, is enough where the route has a `{*rest}` that lies below it.
    fn check_scopes(&self, caller: &Caller) -> Result<(), Problem> {
        if self.scopes.iter().all(|scope| caller.may(scope, &self.rest)) {
            Ok(())
        } else {
            Err(logged(callers::scope_missing(&self.scopes.join(" "))))
        }
    }
}

/// Says in the access line why the request does not pass. The verification of a token says so itself.
fn logged(problem: Problem) -> Problem {
    if let Some(reason) = problem.slug() {
        telemetry::name_refusal(LoggedRefusal {
            reason,
            token_issuer: None,
            clock_seconds: None,
        });
    }
    problem
}

/// When an answer ends: with the token, which is taken [`SKEW`] longer because clocks differ. What it asks for within the skew
/// lasts to the end of that.
fn end(expires: SystemTime) -> Option<Instant> {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    let left = left.checked_sub(SKEW).unwrap_or(left);
    Instant::now().checked_add(left)
}

/// No cache may hand the answer to another caller (RFC 9111, section 3.5, protects those to `Authorization`, and not those to a
/// cookie). What the handler says of caches stands.
fn keep_private(headers: &mut HeaderMap) {
    const SAYS_WHO: [&str; 4] = ["no-store", "private", "public", "s-maxage"];
    let said = joined(headers, &header::CACHE_CONTROL);
    if SAYS_WHO.iter().any(|word| said.contains(word)) {
        return;
    }
    let private = if said.is_empty() {
        None
    } else {
        HeaderValue::try_from(format!("{said}, private")).ok()
    };
    headers.insert(
        header::CACHE_CONTROL,
        private.unwrap_or(HeaderValue::from_static("no-store")),
    );
}

/// The cache of a browser may keep the answer: not for the next one who logs in there.
fn vary_by_credentials(headers: &mut HeaderMap) {
    const FOR_ALL: [&str; 3] = ["no-store", "public", "s-maxage"];
    let cache_control = joined(headers, &header::CACHE_CONTROL);
    let mut vary = joined(headers, &header::VARY);
    if vary.contains('*') || FOR_ALL.iter().any(|word| cache_control.contains(word)) {
        return;
    }
    for name in ["authorization", "cookie"] {
        if !vary.split(',').any(|varied| varied.trim() == name) {
            let comma = if vary.is_empty() { "" } else { ", " };
            vary = format!("{vary}{comma}{name}");
        }
    }
    if let Ok(vary) = HeaderValue::try_from(vary) {
        headers.insert(header::VARY, vary);
    }
}

/// The values of a header as one, in lower case.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
        .collect();
    values.join(", ")
}

/// Surrounds the handler of a route that is not public: it runs for callers only, however a request has found it.
pub async fn require(request: Request, next: Next) -> Result<Response, Problem> {
    match request.extensions().get::<Caller>() {
        Some(_) => Ok(next.run(request).await),
        None => Err(Problem::internal(
            "a request has reached a route without passing its gate",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use std::time::Duration;

    #[tokio::test]
    async fn an_answer_ends_with_its_token_and_within_the_skew_with_that() {
        let now = SystemTime::now();
        for (expires, seconds) in [
            (now + SKEW + Duration::from_secs(30), 30),
            (now + SKEW - Duration::from_secs(20), 40),
            (now - Duration::from_secs(600), 0),
        ] {
            let left = end(expires).unwrap().saturating_duration_since(Instant::now());
            let expected = Duration::from_secs(seconds);
            assert!(
                left <= expected && left + Duration::from_secs(1) >= expected,
                "{left:?}"
            );
        }
        let far = now.checked_add(Duration::from_secs(1 << 60));
        assert!(far.and_then(end).is_none_or(|end| end > Instant::now()));
    }

    #[test]
    fn no_cache_keeps_an_answer_unless_its_handler_says_so() {
        for (said, kept) in [
            (None, "no-store"),
            (Some("no-store"), "no-store"),
            (Some("max-age=60"), "max-age=60, private"),
            (Some("no-cache"), "no-cache, private"),
            (Some("Private, max-age=60"), "Private, max-age=60"),
            (Some("public, max-age=60"), "public, max-age=60"),
            (Some("max-age=0, s-maxage=60"), "max-age=0, s-maxage=60"),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(said.map(|said| (header::CACHE_CONTROL, HeaderValue::from_static(said))));
            keep_private(&mut headers);
            let values: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().collect();
            assert_eq!(values, [kept]);
        }
    }

    #[test]
    fn what_a_browser_may_keep_is_kept_for_one_caller() {
        for (cache_control, vary, expected) in [
            ("no-store", "origin", "origin"),
            ("public, max-age=60", "", ""),
            ("s-maxage=60", "", ""),
            ("private, max-age=60", "*", "*"),
            ("private, max-age=60", "", "authorization, cookie"),
            ("no-cache, private", "Origin", "origin, authorization, cookie"),
            ("private", "Cookie, Accept", "cookie, accept, authorization"),
        ] {
            let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(cache_control))]);
            if !vary.is_empty() {
                headers.insert(header::VARY, HeaderValue::from_static(vary));
            }
            vary_by_credentials(&mut headers);
            let answer = joined(&headers, &header::VARY);
            assert_eq!(answer, expected, "{cache_control} {vary}");
            assert!(headers.get_all(header::VARY).iter().count() <= 1);
        }
    }

    #[tokio::test]
    async fn no_handler_runs_without_the_gate() {
        use axum::{Router, middleware::from_fn, routing::get};
        use tower::ServiceExt;
        let router = Router::new().route("/", get(async || "secret").route_layer(from_fn(require)));
        let request = Request::new(Body::empty());
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 500);
        let mut request = Request::new(Body::empty());
        request
            .extensions_mut()
            .insert(Caller::from_platform("aws-iam", "alice", callers::Kind::User));
        assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
    }
}
