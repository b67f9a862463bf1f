//! Whatever is sent to whichever route of the bundle: an error is a problem that the route declares, or a report of health.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::{Html, Response},
};
use http_body_util::BodyExt;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use shared::{
    config::Env,
    deadline::Deadline,
    problem::RUNTIME,
    runtime::{App, Cors, Route, Service},
};
use std::collections::{BTreeMap, BTreeSet};
use testing::{Exchange, HostileRequest, hostile_request, problem_type};
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

fn is_report(answer: &Exchange) -> bool {
    let media_type = answer.headers["content-type"].to_str().unwrap();
    answer.status == 503 && ["application/json", "application/health+json"].contains(&media_type)
}

#[tokio::test]
async fn no_route_answers_an_error_that_is_neither_a_declared_problem_nor_a_report() {
    let service = local::functions::service(&Env::new(|_| None));
    let paths = declared(&service);
    let app = App::new(service, &Cors::default());
    let mut runner = TestRunner::default();
    let mut seen = BTreeSet::new();
    for (path, kinds) in paths {
        for _ in 0..200 {
            let sent = hostile_request(path).new_tree(&mut runner).unwrap().current();
            let answer = send(&app, &sent).await;
            if sent.method == "HEAD" || (answer.status == 503 && is_report(&answer)) {
                continue;
            }
            let kind = problem_type(&answer).unwrap_or_else(|why| panic!("{why}\n{sent:?}"));
            assert!(
                kind.as_ref().is_none_or(|kind| kinds.contains(kind)),
                "{kind:?}: {sent:?}"
            );
            seen.extend(kind);
        }
    }
    for slug in ["not-found", "method-not-allowed", "unexpected-body"] {
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
            control.text()
        );
        let answer = read(app.clone().answer(request(), None, Deadline::default()).await).await;
        assert!(matches!(problem_type(&answer), Ok(Some(_))), "{}", answer.text());
    }
}
