//! A fake of the Lambda Runtime API: hands out events, and takes what the function posts, chunk by chunk.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

mod posted;

use super::Exchange;
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::Bytes;
use http_body_util::BodyExt;
pub use posted::Posted;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
};

/// Serves one function, which may poll as often at once as it likes.
pub struct FakeRuntimeApi {
    address: String,
    queue: mpsc::UnboundedSender<Queued>,
    polls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    init_errors: Arc<Mutex<Vec<Value>>>,
    last_id: AtomicUsize,
}

struct Queued {
    id: String,
    event: Bytes,
    deadline_ms: u128,
    posted: oneshot::Sender<Posted>,
}

#[derive(Default)]
struct Open(Mutex<HashMap<String, oneshot::Sender<Posted>>>);

#[derive(Clone)]
struct ApiState {
    queue: Arc<AsyncMutex<mpsc::UnboundedReceiver<Queued>>>,
    open: Arc<Open>,
    polls: Arc<AtomicUsize>,
    init_errors: Arc<Mutex<Vec<Value>>>,
}

impl FakeRuntimeApi {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let (queue, receiver) = mpsc::unbounded_channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let api = ApiState {
            queue: Arc::new(AsyncMutex::new(receiver)),
            open: Arc::default(),
            polls: Arc::clone(&polls),
            init_errors: Arc::default(),
        };
        let init_errors = Arc::clone(&api.init_errors);
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{action}", post(posted))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let listener = listener.tap_io(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            queue,
            polls,
            connections,
            init_errors,
            last_id: AtomicUsize::new(0),
        }
    }

    /// The value for `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How often the function has asked for an invocation.
    pub fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }

    /// How many connections the function has made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Why the function did not start, as it was reported.
    pub fn init_errors(&self) -> Vec<Value> {
        self.init_errors.lock().expect("no handler panics").clone()
    }

    /// Hands out an event, with so much time to answer it; waits until the function begins to post.
    pub async fn invoke(&self, event: &Value, time: Duration) -> Posted {
        self.invoke_text(event.to_string(), time).await
    }

    /// As [`Self::invoke`], with an event that may hold what a [`Value`] cannot, such as half of a surrogate pair.
    pub async fn invoke_text(&self, event: String, time: Duration) -> Posted {
        let (posted, receiver) = oneshot::channel();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let queued = Queued {
            id: format!("request-{}", self.last_id.fetch_add(1, Ordering::Relaxed)),
            event: event.into(),
            deadline_ms: (since_epoch.expect("it is after 1970") + time).as_millis(),
            posted,
        };
        assert!(self.queue.send(queued).is_ok(), "the fake runs as long as the test");
        let posted = tokio::time::timeout(Duration::from_secs(30), receiver).await;
        posted.expect("the function answers").expect("the fake answers for it")
    }

    /// Hands out an event and reads the answer to its end.
    pub async fn exchange(&self, event: &Value) -> Exchange {
        self.invoke(event, Duration::from_secs(30)).await.exchange().await
    }
}

async fn init_error(State(api): State<ApiState>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let error: Value = serde_json::from_slice(&body).expect("an error is JSON");
    assert_eq!(
        headers["lambda-runtime-function-error-type"],
        *error["errorType"].as_str().expect("text")
    );
    api.init_errors.lock().expect("no handler panics").push(error);
    StatusCode::ACCEPTED
}

async fn next(State(api): State<ApiState>) -> Response {
    api.polls.fetch_add(1, Ordering::Relaxed);
    let Some(queued) = api.queue.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", queued.id.clone()),
        ("lambda-runtime-deadline-ms", queued.deadline_ms.to_string()),
        ("lambda-runtime-trace-id", TRACE_ID.to_owned()),
    ];
    api.open
        .0
        .lock()
        .expect("no handler panics")
        .insert(queued.id, queued.posted);
    (headers, queued.event).into_response()
}

/// The header as X-Ray passes it on.
const TRACE_ID: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:1";

async fn posted(
    State(api): State<ApiState>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    let Some(invocation) = api.open.0.lock().expect("no handler panics").remove(&id) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (sender, frames) = mpsc::unbounded_channel();
    let _ = invocation.send(Posted {
        headers,
        error: action == "error",
        frames,
        trailers: None,
    });
    while let Some(Ok(frame)) = body.frame().await {
        let _ = sender.send((Instant::now(), frame));
    }
    (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}
