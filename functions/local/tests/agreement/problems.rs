//! Whatever is sent to whichever route of the bundle: an error is a problem that the route declares, or a report of health.

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    response::{Html, Response},
};
use http_body_util::BodyExt;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::json;
use shared::{
    config::Env,
    deadline::Deadline,
    problem::RUNTIME,
    runtime::{App, Cors, Declared, Policy, Route, Service},
};
use std::collections::{BTreeMap, BTreeSet};
use testing::{Exchange, HostileRequest, hostile_request, problem_type, tokens};
use tower::ServiceExt;

/// Every path of the bundle, with the types of the problems that its routes answer.
fn declared(service: &Service) -> BTreeMap<&'static str, BTreeSet<String>> {
    let kind = |slug: &str| format!("/problems/{slug}");
    let common: BTreeSet<String> = RUNTIME.iter().map(|kind_of| kind(kind_of.slug)).collect();
    let mut paths = BTreeMap::from(["/health", "/", "/nowhere/{at}/{all}"].map(|path| (path, common.clone())));
    for route in service.routes() {
        let kinds = paths.entry(route.path).or_insert_with(|| common.clone());
        kinds.extend(route.problems.iter().map(|problem| kind(problem.slug)));
    }
    paths
}

async fn read(response: Response) -> Exchange {
    let (parts, body) = response.into_parts();
    // A stream that is no error has no end.
    let body = match parts.status.as_u16() {
        400.. => body.collect().await.unwrap().to_bytes(),
        _ => Default::default(),
    };
    Exchange {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

async fn send(app: &App, sent: &HostileRequest) -> Exchange {
    let mut request = Request::new(Body::from(sent.body.clone()));
    *request.method_mut() = sent.method.clone();
    *request.uri_mut() = sent.target.parse().unwrap();
    *request.headers_mut() = sent.headers.clone();
    read(app.clone().answer(request, None, Deadline::default()).await).await
}

/// A token with each scope of the bundle, as a header.
fn credential(service: &Service) -> HeaderValue {
    let scopes: BTreeSet<&str> = service.routes().flat_map(scopes).copied().collect();
    let scope = scopes.into_iter().collect::<Vec<_>>().join(" ");
    let token = tokens::token(json!({"scope": scope}));
    HeaderValue::try_from(format!("Bearer {token}")).unwrap()
}

fn scopes(route: &Declared) -> &'static [&'static str] {
    match route.policy {
        Some(Policy::Callers { scopes, .. }) => scopes,
        _ => &[],
    }
}

/// Makes it one that reaches the handler of this route.
fn admit(sent: &mut HostileRequest, route: &Declared, credential: &HeaderValue) {
    sent.method = route.method.clone();
    sent.headers.insert(header::AUTHORIZATION, credential.clone());
    if takes_json(route) {
        let media_type = HeaderValue::from_static("application/json");
        sent.headers.insert(header::CONTENT_TYPE, media_type);
        sent.headers.remove(header::CONTENT_ENCODING);
    }
}

fn takes_json(route: &Declared) -> bool {
    route
        .content
        .is_some_and(|content| content.media_types() == ["application/json"])
}

fn is_report(answer: &Exchange) -> bool {
    let media_type = answer.headers["content-type"].to_str().unwrap();
    answer.status == 503 && ["application/json", "application/health+json"].contains(&media_type)
}

/// What a handler of one of these routes refuses before it does anything.
fn refused(routes: &[&Declared]) -> Vec<&'static str> {
    let has_parameters = routes.iter().any(|route| route.path.contains('{'));
    let takes_json = routes.iter().any(|route| takes_json(route));
    let parts = [(has_parameters, "invalid-parameter"), (takes_json, "malformed-json")];
    parts
        .into_iter()
        .filter_map(|(is_there, slug)| is_there.then_some(slug))
        .collect()
}

#[tokio::test]
async fn no_route_answers_an_error_that_is_neither_a_declared_problem_nor_a_report() {
    let service = local::functions::service(&Env::new(|key| (key == "TOKEN_ISSUERS").then(tokens::issuers)));
    let (paths, credential) = (declared(&service), credential(&service));
    let routes: Vec<Declared> = service.routes().cloned().collect();
    let app = App::new(service, &Cors::default());
    let (mut runner, mut seen) = (TestRunner::default(), BTreeSet::new());
    for (path, kinds) in paths {
        let routes: Vec<&Declared> = routes.iter().filter(|route| route.path == path).collect();
        let mut seen_here = BTreeSet::new();
        for round in 0..200 * routes.len().max(1) {
            let mut sent = hostile_request(path).new_tree(&mut runner).unwrap().current();
            // Three of four pass the gate.
            let route = routes.get(round / 4 % routes.len().max(1)).filter(|_| round % 4 > 0);
            if let Some(route) = route {
                admit(&mut sent, route, &credential);
            }
            let answer = send(&app, &sent).await;
            assert!(
                route.is_none() || answer.status != 401,
                "{sent:?}: {}",
                answer.transcript()
            );
            if sent.method == "HEAD" || (answer.status == 503 && is_report(&answer)) {
                continue;
            }
            let kind = problem_type(&answer).unwrap_or_else(|why| panic!("{why}\n{sent:?}"));
            assert!(
                kind.as_ref().is_none_or(|kind| kinds.contains(kind)),
                "{kind:?}: {sent:?}"
            );
            seen_here.extend(kind);
        }
        assert_has(&seen_here, &refused(&routes));
        seen.extend(seen_here);
    }
    assert_has(&seen, &["not-found", "method-not-allowed", "unexpected-body"]);
}

fn assert_has(seen: &BTreeSet<String>, slugs: &[&str]) {
    for slug in slugs {
        assert!(seen.contains(&format!("/problems/{slug}")), "never {slug}: {seen:?}");
    }
}

fn careless() -> Service {
    let routes = [
        Route::get("/bare", async || StatusCode::CONFLICT),
        Route::get("/html", async || {
            (StatusCode::BAD_GATEWAY, Html("<h1>Bad Gateway</h1>"))
        }),
        Route::get("/json", async || {
            (StatusCode::BAD_REQUEST, [("content-type", "application/json")], "{}")
        }),
    ];
    Service::new(routes.map(Route::public))
}

#[tokio::test]
async fn errors_of_careless_handlers_are_caught_and_leave_as_problems() {
    let router: Router = careless().router();
    let app = App::new(careless(), &Cors::default());
    for path in ["/bare", "/html", "/json"] {
        let request = || Request::get(path).body(Body::empty()).unwrap();
        let control = read(router.clone().oneshot(request()).await.unwrap()).await;
        assert!(
            problem_type(&control).is_err(),
            "the net has a hole: {}",
            control.transcript()
        );
        let answer = read(app.clone().answer(request(), None, Deadline::default()).await).await;
        assert!(matches!(problem_type(&answer), Ok(Some(_))), "{}", answer.transcript());
    }
}
