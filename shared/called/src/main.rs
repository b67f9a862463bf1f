//! A function whose routes say who may call them, in each way that a route can. With `UNDECLARED`, two routes do not say it;
//! with `STREAMED`, its answers are streamed.

use axum::{body::Body, extract::State, http::header, response::Response};
use futures_util::stream;
use serde_json::{Value, json};
use shared::{
    body::{self, Json},
    callers::{Caller, Callers},
    config::Env,
    deadline::Deadline,
    download::{Download, DownloadRequest},
    parameters::Path,
    problem::Problem,
    runtime::{self, Route, Service},
    sse::{self, Event, LastEventId},
};
use std::{process::ExitCode, time::Duration};
use tokio::time::sleep;

fn main() -> ExitCode {
    runtime::serve(service)
}

fn service(env: &Env) -> Service {
    let (callers, stream) = (Callers::from_env(env), sse::Settings::from_env(env));
    let undeclared = env.text("UNDECLARED").is_some().then(undeclared);
    let routes = open()
        .into_iter()
        .chain(protected(&callers, stream))
        .chain(undeclared.into_iter().flatten());
    let service = Service::new(routes);
    match env.text("STREAMED") {
        Some(_) => service.streamed(stream.heartbeat),
        None => service,
    }
}

fn open() -> [Route; 2] {
    [
        Route::get("/public", async || "anyone").public(),
        Route::get("/public/careless", whoami).public(),
    ]
}

fn undeclared() -> [Route; 2] {
    [
        Route::get("/forgotten", async || "secret"),
        Route::post("/forgotten/{id}", async || "secret"),
    ]
}

fn protected(callers: &Callers, stream: sse::Settings) -> [Route; 8] {
    [
        Route::get("/whoami", whoami).callers(callers),
        Route::get("/numbers", numbers).callers(callers).with_state(stream),
        Route::get("/slow", slow).callers(callers),
        Route::get("/cached", cached).callers(callers),
        Route::get("/download", download).callers(callers),
        Route::post("/orders", order)
            .scopes(callers, &["orders:write", "profile"])
            .takes(body::json(1 << 10)),
        Route::put("/files/{*path}", store)
            .scopes(callers, &["files:write"])
            .takes(body::stream(1 << 20)),
        Route::get("/files/{*path}", read).scopes(callers, &["files:read"]),
    ]
}

async fn whoami(caller: Caller) -> Json<Value> {
    Json(json!({
        "issuer": caller.issuer(),
        "subject": caller.subject(),
        "email": caller.email(),
        "kind": caller.kind(),
        "scopes": caller.scopes().collect::<Vec<_>>(),
    }))
}

/// 1, 2, ... every 100 ms, after the last that the client has seen.
async fn numbers(
    State(settings): State<sse::Settings>,
    deadline: Deadline,
    last: Option<LastEventId>,
) -> Result<Response, Problem> {
    let last = last.and_then(|LastEventId(id)| id.parse::<u64>().ok()).unwrap_or(0);
    let numbers = stream::unfold(last + 1, async |number| {
        sleep(Duration::from_millis(100)).await;
        Some((Event::default().id(number).data(&number.to_string()), number + 1))
    });
    Ok(sse::stream(settings, deadline, numbers))
}

/// Waits for its deadline.
async fn slow(deadline: Deadline) -> &'static str {
    deadline.ended().await;
    "over"
}

async fn cached() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CACHE_CONTROL, "max-age=60")], "cached")
}

async fn download(request: DownloadRequest) -> Result<Download, Problem> {
    Download::bytes(&request, Some("\"v1\""), "bytes")
}

async fn order(caller: Caller, Json(order): Json<Value>) -> Json<Value> {
    Json(json!({"by": caller.subject(), "order": order}))
}

async fn store(Path(path): Path<String>, body: Body) -> Result<String, Problem> {
    let body = axum::body::to_bytes(body, usize::MAX).await?;
    Ok(format!("{path}: {}", body.len()))
}

async fn read(Path(path): Path<String>) -> String {
    path
}
