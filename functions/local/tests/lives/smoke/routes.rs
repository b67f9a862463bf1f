//! Two functions that share a path.

use super::{Bundle, callers, run, run_with, serve, signature, text};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use shared::{
    body::{self, Json},
    parameters::Path,
    runtime::Route,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use testing::tokens;

/// What the smoke test says of `reader` and `writer`, which share a path.
async fn smoked(document: &Value, reader: Vec<Route>, writer: Vec<Route>) -> (bool, String) {
    smoked_with(document, reader, writer, &[]).await
}

async fn smoked_with(
    document: &Value,
    reader: Vec<Route>,
    writer: Vec<Route>,
    settings: &[(&str, &str)],
) -> (bool, String) {
    let bundle = Bundle::new(&table(), document);
    let urls = vec![
        format!("reader={}", serve(reader).await),
        format!("writer={}/", serve(writer).await),
    ];
    let output = run_with(bundle.file(".github/deploy/smoke"), urls, settings).await;
    (output.status.success(), text(&output))
}

fn table() -> Value {
    json!([
        {"path": "/notes/{id}", "method": "GET", "function": "reader"},
        {"path": "/notes/{id}", "method": "POST", "function": "writer"},
        {"path": "/files/{*path}", "method": null, "function": "reader"},
        {"path": "/pictures", "method": null, "function": "writer"},
    ])
}

fn document() -> Value {
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}, "example": "a b/ü"});
    let page = json!({"name": "page", "in": "query", "required": true, "schema": {"type": "integer", "example": 2}});
    let tenant =
        json!({"name": "x-tenant", "in": "header", "required": true, "examples": {"one": {"value": "\"acme\""}}});
    json!({"paths": {
        "/notes/{id}": {
            "parameters": [id],
            "get": {"parameters": [page, tenant], "responses": {"200": {"content": {"application/json": {}}}, "default": {}}},
            "post": {"requestBody": {"$ref": "#/components/requestBodies/note"}, "responses": {"201": {}}},
        },
        "/files/{path}": {"get": {
            "parameters": [{"name": "path", "in": "path", "required": true, "schema": {"example": "a/b c"}}],
            "responses": {"2XX": {"content": {"*/*": {}}}},
        }},
        "/pictures": {
            "put": {"requestBody": {"content": {"image/png": {}}}, "responses": {"204": {}}},
            "get": {"security": [{"token": []}], "responses": {"201": {}}},
            "delete": {"x-smoke": "skip", "responses": {"204": {}}},
        },
    }, "components": {"requestBodies": {"note": {"content": {"application/json": {}}}}}})
}

fn reader() -> Vec<Route> {
    let note = async |Path(id): Path<String>, request: axum::extract::Request| {
        let (query, tenant) = (request.uri().query(), request.headers().get("x-tenant").cloned());
        assert_eq!(
            (id.as_str(), query, tenant.unwrap().to_str().unwrap()),
            ("a b/ü", Some("page=2"), "\"acme\"")
        );
        Json(json!({}))
    };
    let file = async |Path(path): Path<String>| path;
    vec![Route::get("/notes/{id}", note), Route::get("/files/{*path}", file)]
}

/// The writer, which counts its effects.
fn writer(effects: &'static AtomicUsize) -> Vec<Route> {
    let effect = move || {
        effects.fetch_add(1, Ordering::Relaxed);
        StatusCode::CREATED
    };
    vec![
        Route::post("/notes/{id}", async move |_: Json<Value>| effect()).takes(body::json(100)),
        Route::put("/pictures", async move |_: Body| effect()).takes(body::stream(100).of_types(&["image/png"])),
        Route::get("/pictures", async move || effect()).callers(&callers()),
        Route::delete("/pictures", async move || effect()),
    ]
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn every_route_is_asked_by_the_document_and_nothing_is_written() {
    static EFFECTS: AtomicUsize = AtomicUsize::new(0);
    let (is_healthy, said) = smoked(&document(), reader(), writer(&EFFECTS)).await;
    assert!(is_healthy, "{said}");
    assert_eq!(EFFECTS.load(Ordering::Relaxed), 0, "{said}");
    assert!(
        said.contains("DELETE /pictures: not called, x-smoke says skip"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn what_differs_from_the_document_is_named() {
    static EFFECTS: AtomicUsize = AtomicUsize::new(0);
    fn without(path: &str, replacement: Route, routes: Vec<Route>) -> Vec<Route> {
        let others = routes.into_iter().filter(|route| route.declared().path != path);
        others.chain([replacement]).collect()
    }
    let failing = Route::get("/notes/{id}", async || StatusCode::SERVICE_UNAVAILABLE);
    let gone = Route::get("/notes/{id}", async || StatusCode::NOT_FOUND);
    let untyped = Route::get("/notes/{id}", async || "{}");
    for (routes, named) in [
        (
            without("/notes/{id}", failing, reader()),
            "GET /notes/{id}: 503 application/problem+json instead of 200 application/json: {",
        ),
        (
            without("/notes/{id}", gone, reader()),
            "GET /notes/{id}: 404 application/problem+json instead of 200",
        ),
        (
            without("/notes/{id}", untyped, reader()),
            "GET /notes/{id}: 200 text/plain instead of 200 application/json",
        ),
        (
            without("/notes/{id}", Route::get("/other", async || ()), reader()),
            "GET /notes/{id}: 404",
        ),
    ] {
        let (is_healthy, said) = smoked(&document(), routes, writer(&EFFECTS)).await;
        assert!(!is_healthy && said.contains(named), "{said}");
    }
    let lenient = Route::post("/notes/{id}", async || StatusCode::CREATED).takes(body::json(100));
    let untyped = Route::post("/notes/{id}", async |_: Body| StatusCode::CREATED).takes(body::stream(100));
    let wrong_method = Route::put("/notes/{id}", async || ());
    for (route, named) in [
        (
            lenient,
            "POST /notes/{id} with broken JSON: 201  instead of 400 application/problem+json",
        ),
        (
            untyped,
            "POST /notes/{id} with a body of another type: 201  instead of 415 application/problem+json",
        ),
        (
            wrong_method,
            "POST /notes/{id} with a body of another type: 405 application/problem+json instead of 415",
        ),
    ] {
        let (is_healthy, said) = smoked(&document(), reader(), without("/notes/{id}", route, writer(&EFFECTS))).await;
        assert!(!is_healthy && said.contains(named), "{said}");
    }
    let everything = Route::get("/{*rest}", async || ());
    let (is_healthy, said) = smoked(
        &document(),
        reader().into_iter().chain([everything]).collect(),
        writer(&EFFECTS),
    )
    .await;
    assert!(
        !is_healthy && said.contains("GET /nowhere/smoke: 200  instead of 404"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_route_that_is_not_public_must_refuse_who_has_no_token_and_is_asked_with_one() {
    static EFFECTS: AtomicUsize = AtomicUsize::new(0);
    fn open(handler: impl Fn() -> StatusCode + Clone + Send + Sync + 'static) -> Vec<Route> {
        let others = writer(&EFFECTS).into_iter().filter(|route| {
            let declared = route.declared();
            (&declared.method, declared.path) != (&Method::GET, "/pictures")
        });
        others
            .chain([Route::get("/pictures", async move || handler())])
            .collect()
    }
    for (leaking, named) in [
        (
            StatusCode::CREATED,
            "GET /pictures without a token: 201  instead of 401 application/problem+json",
        ),
        (
            StatusCode::UNAUTHORIZED,
            "GET /pictures without a token: WWW-Authenticate has '', not Bearer",
        ),
    ] {
        let (is_healthy, said) = smoked(&document(), reader(), open(move || leaking)).await;
        assert!(!is_healthy && said.contains(named), "{said}");
    }
    let signature = signature();
    let signed = [("CURL_CONFIG", signature.path().to_str().unwrap())];
    for (status, is_healthy) in [
        (StatusCode::CREATED, true),
        (StatusCode::FORBIDDEN, true),
        (StatusCode::UNAUTHORIZED, true),
        (StatusCode::OK, false),
    ] {
        let (passes, said) = smoked_with(&document(), reader(), open(move || status), &signed).await;
        assert_eq!(passes, is_healthy, "who signs is a caller, or AuthType is NONE: {said}");
    }
    let (valid, expired) = (tokens::token(json!({})), tokens::token(json!({"exp": 1})));
    for (token, is_taken) in [(&*valid, true), (&expired, false)] {
        let settings = [("SMOKE_TOKEN", token)];
        let (is_healthy, said) = smoked_with(&document(), reader(), writer(&EFFECTS), &settings).await;
        assert_eq!(is_healthy, is_taken, "{said}");
        assert_eq!(said.contains("GET /pictures: 401"), !is_taken, "{said}");
        assert!(!said.contains(token), "{said}");
    }
    assert_eq!(EFFECTS.load(Ordering::Relaxed), 1, "of the valid token");
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn what_the_document_and_the_table_lack_is_named() {
    static EFFECTS: AtomicUsize = AtomicUsize::new(0);
    let changed = |change: fn(&mut Value)| {
        let mut document = document();
        change(&mut document["paths"]);
        document
    };
    for (document, named) in [
        (
            changed(|paths| paths["/notes/{id}"]["parameters"][0]["example"] = Value::Null),
            "/notes/{id}: the API document has no example of id",
        ),
        (
            changed(|paths| paths["/other"] = paths["/pictures"].take()),
            "PUT /other with a body of another type: no line in the route table of Cargo.toml",
        ),
        (
            changed(|paths| {
                paths["/notes/{id}"]["put"] = json!({"requestBody": {"content": {"text/csv": {}}}, "responses": {}})
            }),
            "PUT /notes/{id} with a body of another type: no line in the route table",
        ),
        (
            changed(|paths| paths["/pictures"] = json!({"patch": {"responses": {}}})),
            "Allow has",
        ),
    ] {
        let (is_healthy, said) = smoked(&document, reader(), writer(&EFFECTS)).await;
        assert!(!is_healthy && said.contains(named), "{named}: {said}");
    }
    let bundle = Bundle::new(&table(), &document());
    let one = run(
        bundle.file(".github/deploy/smoke"),
        vec![format!("writer={}", serve(vec![]).await)],
    )
    .await;
    assert!(
        !one.status.success() && text(&one).contains("no URL for reader"),
        "{}",
        text(&one)
    );
}
