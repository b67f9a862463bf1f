//! The smoke test, against functions that keep to their API document, and against some that do not.

use crate::checkout::checkout;
use axum::{
    Router,
    body::Body,
    http::{Method, StatusCode, header},
    routing::get,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    body::{self, Json},
    callers::Callers,
    config::Env,
    parameters::Path,
    runtime::{self, App, Cors, Responses, Route, Service},
};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tempfile::{NamedTempFile, TempDir};
use testing::{loopback, tokens};
use tokio_util::sync::CancellationToken;

/// The script beside another route table and another API document.
struct Bundle(TempDir);

impl Bundle {
    fn new(routes: &Value, document: &Value) -> Self {
        let bundle = Self(tempfile::tempdir().unwrap());
        for folder in [".github/deploy", "functions/local"] {
            fs::create_dir_all(bundle.file(folder)).unwrap();
        }
        for script in [".github/deploy/smoke", ".github/deploy/smoke.jq"] {
            fs::copy(checkout().join(script), bundle.file(script)).unwrap();
        }
        let table = bundle.file(".github/deploy/routes");
        fs::write(&table, format!("#!/bin/sh\necho '{routes}'\n")).unwrap();
        fs::set_permissions(&table, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(bundle.file("functions/local/openapi.json"), document.to_string()).unwrap();
        bundle
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

async fn run(script: PathBuf, urls: Vec<String>) -> Output {
    run_with(script, urls, &[]).await
}

async fn run_with(script: PathBuf, urls: Vec<String>, settings: &[(&str, &str)]) -> Output {
    let mut smoke = Command::new(script);
    smoke.args(urls).envs(settings.iter().copied());
    tokio::task::spawn_blocking(move || smoke.output().unwrap())
        .await
        .unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Serves routes as a function does, until the test ends.
async fn serve(routes: Vec<Route>) -> String {
    let (listener, url) = loopback().await;
    let declared = routes.into_iter().map(|route| match route.declared().policy {
        Some(_) => route,
        None => route.public(),
    });
    let app = App::new(Service::new(declared), &Cors::default());
    tokio::spawn(runtime::serve_until(
        CancellationToken::new(),
        listener,
        app,
        Responses::Buffered,
    ));
    url
}

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

/// Of the kit's tokens.
fn callers() -> Callers {
    Callers::from_env(&Env::new(|key| (key == "TOKEN_ISSUERS").then(tokens::issuers)))
}

/// The writer, which counts its effects.
fn writer(effects: &'static AtomicUsize) -> Vec<Route> {
    let effect = move || {
        effects.fetch_add(1, Ordering::Relaxed);
        StatusCode::CREATED
    };
    vec![
        Route::post("/notes/{id}", async move |_: Json<Value>| effect()).takes(body::json(100)),
        Route::put("/pictures", async move |_: Body| effect()).takes(body::stream(100).of_type("image/png")),
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

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_stream_begins_at_once_and_goes_on_unless_the_document_says_that_it_ends() {
    let document = |smoke: Value| {
        let content = json!({"200": {"content": {"text/event-stream": {}}}});
        json!({"paths": {"/events": {"get": {"x-smoke": smoke, "responses": content}}}})
    };
    for (gaps, smoke, said) in [
        (&[0, 700][..], Value::Null, "ms later"),
        (&[0, 0], json!("finite"), "ms later"),
        (&[0, 0], Value::Null, "the stream came in one piece, something buffers"),
        (&[], Value::Null, "did not begin within 5 s"),
        (&[6000], json!("finite"), "did not begin within 5 s"),
    ] {
        let (is_healthy, printed) = streamed(&document(smoke), events(gaps), &[]).await;
        assert_eq!(is_healthy, said.contains("later"), "{gaps:?}: {printed}");
        assert!(printed.contains(said), "{gaps:?}: {printed}");
    }
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_stream_for_callers_may_refuse_who_signs_and_a_public_one_nobody() {
    let document = |security: Value| {
        let responses = json!({"200": {"content": {"text/event-stream": {}}}});
        json!({"paths": {"/events": {"get": {"security": security, "responses": responses}}}})
    };
    let (callers_alone, public) = (document(json!([{"token": []}])), document(json!([])));
    let refusing = |status: StatusCode| Route::get("/events", async move || status);
    let signature = signature();
    let signed = [("CURL_CONFIG", signature.path().to_str().unwrap())];
    for (document, route, is_fine, said) in [
        (
            &callers_alone,
            events(&[0, 700]).callers(&callers()),
            true,
            "GET /events: 401",
        ),
        (
            &callers_alone,
            refusing(StatusCode::FORBIDDEN),
            true,
            "GET /events: 403",
        ),
        (&callers_alone, events(&[0, 700]), true, "ms later"),
        (
            &callers_alone,
            refusing(StatusCode::SERVICE_UNAVAILABLE),
            false,
            "503 application/problem+json instead of 200 text/event-stream",
        ),
        (
            &public,
            refusing(StatusCode::UNAUTHORIZED),
            false,
            "401 application/problem+json instead of 200 text/event-stream: {",
        ),
    ] {
        let (is_healthy, printed) = streamed(document, route, &signed).await;
        assert!(is_healthy == is_fine && printed.contains(said), "{said}: {printed}");
    }
}

/// A stream of an event after each of these gaps, in milliseconds.
fn events(gaps: &'static [u64]) -> Route {
    const EVENT: &str = "data: x\n\n";
    Route::get("/events", async move || {
        let events = stream::iter(gaps).then(async |gap| {
            tokio::time::sleep(Duration::from_millis(*gap)).await;
            Ok::<_, std::io::Error>(EVENT)
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
    })
}

/// What the smoke test says of a function with this stream alone.
async fn streamed(document: &Value, route: Route, settings: &[(&str, &str)]) -> (bool, String) {
    let table = json!([{"path": "/events", "method": null, "function": "events"}]);
    let bundle = Bundle::new(&table, document);
    let urls = vec![format!("events={}", serve(vec![route]).await)];
    let output = run_with(bundle.file(".github/deploy/smoke"), urls, settings).await;
    (output.status.success(), text(&output))
}

/// The options of curl by which the deployment to Lambda signs.
fn signature() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let options = b"aws-sigv4 = \"aws:amz:eu-west-1:lambda\"\nuser = \"a:b\"\n";
    file.write_all(options).unwrap();
    file
}

#[tokio::test]
#[ignore = "needs curl and jq; .ci/run installs them"]
async fn a_report_that_is_not_healthy_is_named() {
    for (status, is_healthy) in [("healthy", true), ("degraded", true), ("unhealthy", false), ("", false)] {
        let document = json!({"paths": {"/health": {"get": {"responses": {"200": {"content": {
            "application/json": {}, "application/health+json": {},
        }}}}}}});
        let bundle = Bundle::new(
            &json!([{"path": "/health", "method": null, "function": "health"}]),
            &document,
        );
        let report = Json(json!({"status": status}));
        let app = Router::new().route("/health", get(async move || report));
        let app = app.fallback(async || {
            (
                StatusCode::NOT_FOUND,
                [(header::CONTENT_TYPE, "application/problem+json")],
            )
        });
        let app = app.method_not_allowed_fallback(async || {
            let headers = [
                (header::CONTENT_TYPE, "application/problem+json"),
                (header::ALLOW, "GET, HEAD"),
            ];
            (StatusCode::METHOD_NOT_ALLOWED, headers)
        });
        let (listener, url) = loopback().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        let output = run(bundle.file(".github/deploy/smoke"), vec![format!("health={url}")]).await;
        assert_eq!(output.status.success(), is_healthy, "{status}: {}", text(&output));
        assert!(
            text(&output).contains(&format!("GET /health: {{\"status\":\"{status}\"}}")),
            "{}",
            text(&output)
        );
    }
}
