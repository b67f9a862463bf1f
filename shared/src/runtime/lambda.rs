//! The life in Lambda: polls the Runtime API, decodes HTTP events with `lambda_http`, answers in one piece or as a stream.
//!
//! The loop is our own because `lambda_http`'s cannot be told to send small writes at once: the first byte of a stream
//! takes 40 ms there, while the kernel waits for an acknowledgement (Nagle's algorithm). Source of the protocol:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> and `runtimes-custom.html`.

use super::{
    Entrance, Format, Job, Responses,
    front_door::FrontDoorResponse,
    runtime_api::{Answer, BoxError, Failure, Invocation, REQUEST_ID, RuntimeApi},
};
use crate::{config::Env, lifetime::Lifetime, telemetry::XRAY};
use axum::{body::Body, http::HeaderValue, response::Response};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{Request, body::Frame, header::SET_COOKIE};
use lambda_http::{
    RequestExt,
    lambda_runtime::MetadataPrelude,
    request::{LambdaRequest, RequestContext},
};
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    process::ExitCode,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// What the platform says about this environment.
pub struct Settings {
    api: String,
    concurrency: usize,
}

impl Settings {
    /// `None` outside Lambda. Reads `AWS_LAMBDA_RUNTIME_API` and `AWS_LAMBDA_MAX_CONCURRENCY`.
    pub fn from_env(env: &Env) -> Option<Self> {
        let api = env.text("AWS_LAMBDA_RUNTIME_API")?;
        let concurrency = env.parse("AWS_LAMBDA_MAX_CONCURRENCY", 1, "a number above 0", |text| {
            text.parse().ok().filter(|count| *count > 0)
        });
        Some(Self { api, concurrency })
    }
}

/// Serves HTTP events until the platform ends the process.
pub async fn serve(settings: Settings, entrance: Entrance, responses: Responses) -> ExitCode {
    poll(settings, move |invocation| {
        let entrance = entrance.clone();
        async move {
            let event = serde_json::from_slice(&invocation.event).map_err(|_| Failure {
                error_type: "UnsupportedEvent",
                error_message: "this function takes the HTTP events of Function URLs, API Gateway (REST APIs v1, HTTP \
                                APIs v2) and Application Load Balancers",
            })?;
            match responses {
                Responses::Buffered => buffered(entrance, event, invocation).await,
                Responses::Streamed { .. } => streamed(entrance, event, invocation).await,
            }
        }
    })
    .await
}

/// Runs the job once an invocation, until the platform ends the process. The event may be `{"arguments": [...]}`.
pub async fn run(settings: Settings, job: Job) -> ExitCode {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(default)]
        arguments: Vec<String>,
    }
    let job = Rc::new(job);
    poll(settings, move |invocation| {
        let job = Rc::clone(&job);
        async move {
            let event = serde_json::from_slice::<Option<Event>>(&invocation.event).map_err(|_| Failure {
                error_type: "UnsupportedEvent",
                error_message: "this job takes null, or an object such as {\"arguments\": [\"status\"]}",
            })?;
            let arguments = event.map(|event| event.arguments).unwrap_or_default();
            let outcome = job(arguments, Format::Json, invocation.lifetime()).await;
            if outcome.success {
                Ok(Answer::Buffered(outcome.report.into()))
            } else {
                tracing::error!(report = outcome.report, "the job failed");
                Err(Failure {
                    error_type: "JobFailed",
                    error_message: "the job failed; its log has the report",
                })
            }
        }
    })
    .await
}

const NOT_TEXT: Failure = Failure {
    error_type: "ResponseNotText",
    error_message: "the response has a header or a body that is not UTF-8",
};

impl Invocation {
    fn id(&self) -> Option<HeaderValue> {
        self.headers.get(REQUEST_ID).cloned()
    }

    /// The deadline, unless it has passed already: emulators send a constant.
    fn lifetime(&self) -> Lifetime {
        let deadline = self.headers.get("lambda-runtime-deadline-ms");
        let deadline: Option<u64> = deadline.and_then(|value| value.to_str().ok()?.parse().ok());
        let left = deadline.and_then(|deadline| {
            let deadline = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(deadline))?;
            deadline.duration_since(SystemTime::now()).ok()
        });
        Lifetime {
            deadline: left.and_then(|left| Instant::now().checked_add(left)),
            ..Lifetime::default()
        }
    }
}

/// Routes an event by the path that the client asked for. API Gateway's stage is a matter of deployment; HTTP APIs put
/// it before the path.
async fn route(entrance: Entrance, event: lambda_http::Request, invocation: &Invocation) -> Response {
    let stage = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let raw = event.raw_http_path();
    let routed = stage.and_then(|stage| raw.strip_prefix('/')?.strip_prefix(stage));
    let path = routed.filter(|path| path.starts_with('/')).unwrap_or(raw).to_owned();
    let (mut parts, body) = event.into_parts();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(uri) = format!("{path}{query}").parse() {
        parts.uri = uri;
    }
    let body = match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    };
    if let Some(trace) = invocation.headers.get("lambda-runtime-trace-id") {
        parts.headers.entry(XRAY).or_insert_with(|| trace.clone());
    }
    let request = Request::from_parts(parts, body);
    entrance.answer(request, invocation.id(), invocation.lifetime()).await
}

async fn buffered(entrance: Entrance, event: LambdaRequest, invocation: Invocation) -> Result<Answer, Failure> {
    let origin = event.request_origin();
    let (parts, body) = route(entrance, event.into(), &invocation).await.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let response = FrontDoorResponse::new(&origin, &parts, &body).ok_or(NOT_TEXT)?;
    let response = serde_json::to_vec(&response).expect("text and numbers");
    Ok(Answer::Buffered(response.into()))
}

/// The status and headers as a JSON prelude, eight NULs, then the body as it comes.
async fn streamed(entrance: Entrance, event: LambdaRequest, invocation: Invocation) -> Result<Answer, Failure> {
    let (mut parts, body) = route(entrance, event.into(), &invocation).await.into_parts();
    let cookies = parts.headers.get_all(SET_COOKIE).iter();
    let cookies: Option<_> = cookies.map(|cookie| cookie.to_str().ok().map(str::to_owned)).collect();
    parts.headers.remove(SET_COOKIE);
    let prelude = MetadataPrelude {
        status_code: parts.status,
        headers: parts.headers,
        cookies: cookies.ok_or(NOT_TEXT)?,
    };
    let prelude = serde_json::to_vec(&prelude).map_err(|_| NOT_TEXT)?;
    // An error in a body would reach the client as text in the stream; a stream that breaks ends instead.
    let chunks = body.into_data_stream().scan((), |(), chunk| future::ready(chunk.ok()));
    // Chunks of their own: cargo-lambda's emulator tells prelude and separator apart by that.
    let frames = stream::iter([Bytes::from(prelude), Bytes::from_static(&[0; 8])])
        .chain(chunks)
        .map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    Ok(Answer::Streamed(StreamBody::new(frames).boxed_unsync()))
}

/// Polls with as many workers as the platform may send invocations at once, each on a connection of its own.
async fn poll<F>(settings: Settings, handler: impl Fn(Invocation) -> F) -> ExitCode
where
    F: Future<Output = Result<Answer, Failure>>,
{
    let workers = (0..settings.concurrency).map(|_| work(RuntimeApi::new(&settings.api), &handler).boxed_local());
    // The Runtime API fails for good: the platform starts a new environment when this process has ended.
    let (error, ..) = future::select_all(workers).await;
    tracing::error!(%error, "the Lambda Runtime API failed");
    ExitCode::FAILURE
}

async fn work<F>(mut api: RuntimeApi, handler: impl Fn(Invocation) -> F) -> BoxError
where
    F: Future<Output = Result<Answer, Failure>>,
{
    loop {
        let invocation = match api.next().await {
            Ok(invocation) => invocation,
            Err(error) => return error,
        };
        let headers = invocation.headers.clone();
        let answer = AssertUnwindSafe(handler(invocation)).catch_unwind().await;
        let answer = answer.unwrap_or(Err(Failure {
            error_type: "Panic",
            error_message: "the function panicked; its log has the cause",
        }));
        if let Err(error) = api.respond(&headers, answer).await {
            tracing::warn!(%error, "the Lambda Runtime API did not take the answer");
        }
        // Asking for the next invocation lets the platform freeze this process.
        #[cfg(feature = "otel")]
        crate::telemetry::otlp::flush().await;
    }
}
