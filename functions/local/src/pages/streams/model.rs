//! `POST /streams/model/{path}`: a fake model appends its answer to a stream, word by word. The writer is a task, so that the
//! page may be reloaded meanwhile. It is a client of another instance of the functions, with other connections to the database,
//! so that what the page shows has come through Postgres.

use crate::functions;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use shared::{
    config::Env,
    deadline::Deadline,
    problem::Problem,
    runtime::{App, Cors},
    telemetry,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// Where the words come from. It says what its reader sees.
const TEXT: &str = include_str!("model.txt");
/// The time before each word.
const PACE: Duration = Duration::from_millis(90);
/// How often an append is sent, a second apart, until it is answered.
const TRIES: usize = 30;

/// An instance of every function, to which the model is a client.
pub fn instance(env: &Env) -> App {
    App::new(functions::service(env), &Cors::default())
}

/// 202 once the first append is stored; what the function answers, where it refuses that.
pub async fn answer(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let path = uri.path().strip_prefix("/streams/model").unwrap_or_default();
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let answer = Answer {
        app,
        stream: format!("/v1/stream{path}").parse().map_err(Problem::internal)?,
        authorization: headers.get(header::AUTHORIZATION).cloned(),
        began: began.as_millis() as u64,
    };
    let mut first = answer.append(0, json!({"word": ""})).await;
    if !first.status().is_success() {
        // The problem is one that the function declares, not this route.
        first.extensions_mut().clear();
        return Ok(first);
    }
    telemetry::spawn(async move { deadline.cut_off(answer.write()).await });
    Ok(StatusCode::ACCEPTED.into_response())
}

struct Answer {
    app: App,
    stream: Uri,
    authorization: Option<HeaderValue>,
    /// In milliseconds. Names the answer, and is the producer's epoch: an answer that begins ends one that is being written.
    began: u64,
}

impl Answer {
    async fn write(self) {
        let words = TEXT.trim_end().split_inclusive(' ').map(|word| json!({"word": word}));
        for (seq, part) in (1..).zip(words.chain([json!({"done": true})])) {
            sleep(PACE).await;
            if !self.append_until_stored(seq, part).await {
                return;
            }
        }
    }

    /// Whether it is stored. Sent again with its number, so that it is stored once, however often it arrives.
    async fn append_until_stored(&self, seq: u64, part: Value) -> bool {
        for _ in 0..TRIES {
            let status = self.append(seq, part.clone()).await.status();
            if !status.is_server_error() {
                return status.is_success();
            }
            sleep(Duration::from_secs(1)).await;
        }
        false
    }

    async fn append(&self, seq: u64, mut part: Value) -> Response {
        part["from"] = json!("model");
        part["answer"] = json!(self.began);
        part["n"] = json!(seq);
        let mut request = Request::new(Body::from(part.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.stream.clone();
        *request.headers_mut() = self.headers(seq);
        self.app.clone().answer(request, None, Deadline::default()).await
    }

    fn headers(&self, seq: u64) -> HeaderMap {
        let authorization = self.authorization.clone().map(|value| (header::AUTHORIZATION, value));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (
                HeaderName::from_static("producer-id"),
                HeaderValue::from_static("fake-model"),
            ),
            (HeaderName::from_static("producer-epoch"), self.began.into()),
            (HeaderName::from_static("producer-seq"), seq.into()),
        ];
        headers.into_iter().chain(authorization).collect()
    }
}
