//! The loop that polls invocations, and the two handlers that answer them: a service and a job.

use super::{
    answer::{buffered, streamed},
    event::Event,
    runtime_api::{Answer, Failure, Invocation, REQUEST_ID, RuntimeApi},
};
use crate::{
    config::Env,
    deadline::Deadline,
    problem::{self, Problem},
    runtime::{App, Format, Job, Responses, cold_start, signals},
    telemetry::{self, XRAY},
};
use axum::{BoxError, http::HeaderValue, response::Response};
use futures_util::{FutureExt, future};
use hyper::Request;
use std::{
    panic::AssertUnwindSafe,
    process::ExitCode,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout};

/// How long the log may take before each freeze.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the platform may take to accept an initialization error.
const INIT_ERROR_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings that the platform makes.
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
pub async fn serve(settings: Settings, app: App, responses: Responses) -> ExitCode {
    poll(settings, move |invocation| {
        let app = app.clone();
        async move {
            let event: Option<Event> = serde_json::from_slice(&invocation.event).ok();
            let (event, origin) = event
                .and_then(|event| event.origin().map(|origin| (event, origin)))
                .ok_or(UNSUPPORTED)?;
            let response = answer(app, event, &invocation).await;
            match responses {
                Responses::Buffered => buffered(origin, response).await,
                Responses::Streamed { .. } => Ok(streamed(response, invocation.deadline())),
            }
        }
    })
    .await
}

/// Runs the job once for each invocation, until the platform ends the process. The event may be `{"arguments": [...]}`.
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
            const UNSUPPORTED: Failure = Failure::new(
                "UnsupportedEvent",
                "this job takes null, or an object such as {\"arguments\": [\"status\"]}",
            );
            let event = serde_json::from_slice::<Option<Event>>(&invocation.event).map_err(|_| UNSUPPORTED)?;
            let arguments = event.map(|event| event.arguments).unwrap_or_default();
            let outcome = job(arguments, Format::Json, invocation.deadline()).await;
            if outcome.success {
                Ok(Answer::Buffered(outcome.report.into()))
            } else {
                tracing::error!(report = outcome.report, "the job failed");
                Err(Failure::new("JobFailed", "the job failed; its log has the report"))
            }
        }
    })
    .await
}

const UNSUPPORTED: Failure = Failure::new(
    "UnsupportedEvent",
    "this function takes the HTTP events of Function URLs, API Gateway (REST APIs v1, HTTP APIs v2) and Application \
     Load Balancers",
);
const PANIC: Failure = Failure::new("Panic", "the function panicked; its log has the cause");

/// Reports to the platform why this process cannot start. Does nothing outside Lambda.
pub async fn report_init_error(env: &Env, message: &str) {
    let Some(api) = env.text("AWS_LAMBDA_RUNTIME_API") else {
        return;
    };
    let failure = Failure {
        error_type: "Runtime.InvalidSettings",
        error_message: message.to_owned().into(),
    };
    // If the platform does not accept it, the log and the exit code remain.
    let _ = timeout(INIT_ERROR_TIMEOUT, RuntimeApi::new(&api).init_error(&failure)).await;
}

impl Invocation {
    fn id(&self) -> Option<HeaderValue> {
        self.headers.get(REQUEST_ID).cloned()
    }

    /// The platform's deadline, if it is in the future: emulators send a constant.
    fn deadline(&self) -> Deadline {
        let at = self.headers.get("lambda-runtime-deadline-ms");
        let at: Option<u64> = at.and_then(|value| value.to_str().ok()?.parse().ok());
        let at = at.and_then(|at| {
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at))?;
            Instant::now().checked_add(at.duration_since(SystemTime::now()).ok()?)
        });
        Deadline::new(at, signals::stop())
    }
}

/// Answers the event, with 400 if it is not a valid HTTP request.
async fn answer(app: App, event: Event, invocation: &Invocation) -> Response {
    let mut request = Request::default();
    let read = event.read_into(&mut request);
    if let Some(trace) = invocation.headers.get("lambda-runtime-trace-id") {
        request.headers_mut().entry(XRAY).or_insert_with(|| trace.clone());
    }
    let app = match read {
        Some(()) => app,
        None => App::refusing(Problem::new(&problem::MALFORMED)),
    };
    app.answer(request, invocation.id(), invocation.deadline()).await
}

/// Polls until SIGTERM or SIGINT, with a worker and a connection for each invocation that the platform may send at once.
async fn poll<F>(settings: Settings, handler: impl Fn(Invocation) -> F) -> ExitCode
where
    F: Future<Output = Result<Answer, Failure>>,
{
    cold_start::ready();
    let workers = (0..settings.concurrency).map(|_| work(RuntimeApi::new(&settings.api), &handler).boxed_local());
    match future::try_join_all(workers).await {
        Ok(_) => ExitCode::SUCCESS,
        // The Runtime API does not recover: the platform starts a new environment when this process exits.
        Err(error) => {
            tracing::error!(%error, "the Lambda Runtime API failed");
            ExitCode::FAILURE
        }
    }
}

/// Serves one invocation after the other. After a signal, the current one is still answered.
async fn work<F>(mut api: RuntimeApi, handler: impl Fn(Invocation) -> F) -> Result<(), BoxError>
where
    F: Future<Output = Result<Answer, Failure>>,
{
    let stop = signals::stop();
    loop {
        // The platform may freeze this process from the next request on.
        telemetry::flush_before_freeze(FLUSH_TIMEOUT);
        let invocation = tokio::select! {
            invocation = api.next() => invocation?,
            () = stop.cancelled() => return Ok(()),
        };
        let headers = invocation.headers.clone();
        let answer = AssertUnwindSafe(handler(invocation)).catch_unwind().await;
        if let Err(error) = api.respond(&headers, answer.unwrap_or(Err(PANIC))).await {
            tracing::warn!(%error, "the Lambda Runtime API did not take the answer");
        }
        #[cfg(feature = "otel")]
        telemetry::otlp::flush().await;
    }
}
