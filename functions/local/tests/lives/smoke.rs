//! The smoke test, against functions that keep to their API document, and against some that do not.

mod routes;
mod streams;

use crate::checkout::checkout;
use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
};
use serde_json::{Value, json};
use shared::{
    body::Json,
    callers::Callers,
    config::Env,
    runtime::{self, App, Cors, Responses, Route, Service},
};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
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

/// Of the kit's tokens.
fn callers() -> Callers {
    Callers::from_env(&Env::new(|key| (key == "TOKEN_ISSUERS").then(tokens::issuers)))
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
