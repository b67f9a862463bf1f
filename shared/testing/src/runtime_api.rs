//! A fake of the Lambda Runtime API: hands out events, and takes what the function posts, chunk by chunk.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

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
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
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

/// What the function posted for one invocation.
#[derive(Debug)]
pub struct Posted {
    /// The headers of the POST.
    pub headers: HeaderMap,
    /// An invocation error instead of a response.
    pub error: bool,
    frames: mpsc::UnboundedReceiver<(Instant, Frame<Bytes>)>,
    /// What came after the last chunk, once that was read: the error of a streamed response that failed.
    pub trailers: Option<HeaderMap>,
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
        let (posted, receiver) = oneshot::channel();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let queued = Queued {
            id: format!("request-{}", self.last_id.fetch_add(1, Ordering::Relaxed)),
            event: event.to_string().into(),
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

impl Posted {
    /// The next chunk and when it came; `None` at the end.
    pub async fn chunk(&mut self) -> Option<(Instant, Bytes)> {
        let (at, frame) = self.frames.recv().await?;
        match frame.into_data() {
            Ok(chunk) => Some((at, chunk)),
            Err(trailers) => {
                self.trailers = trailers.into_trailers().ok();
                None
            }
        }
    }

    /// The error that ended a streamed response: its type and message.
    pub fn stream_error(&self) -> Option<Value> {
        let body = self.trailers.as_ref()?.get("lambda-runtime-function-error-body")?;
        let body = BASE64_STANDARD.decode(body).expect("an error body is Base64");
        Some(serde_json::from_slice(&body).expect("an error body is JSON"))
    }

    /// Everything that is still to come.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some((_, chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
        }
        body
    }

    /// Was it posted as a stream?
    pub fn is_streamed(&self) -> bool {
        let mode = self.headers.get("lambda-runtime-function-response-mode");
        mode.is_some_and(|mode| mode == "streaming")
    }

    /// The status and headers of a stream, and the first bytes of its body, which must begin with it.
    pub async fn head(&mut self) -> Exchange {
        let mut read = Vec::new();
        loop {
            if let Some(at) = read.windows(8).position(|window| window == [0; 8])
                && read.len() > at + 8
            {
                return decoded(&read[..at], read[at + 8..].to_vec());
            }
            let (_, chunk) = self.chunk().await.expect("a stream begins with its prelude");
            read.extend_from_slice(&chunk);
        }
    }

    /// The whole answer, as a client of the Function URL, the API or the load balancer sees it.
    pub async fn exchange(mut self) -> Exchange {
        let body = self.rest().await;
        assert!(!self.error, "an invocation error: {}", String::from_utf8_lossy(&body));
        if self.is_streamed() {
            let prelude = body.windows(8).position(|window| window == [0; 8]);
            let at = prelude.expect("a stream begins with its prelude");
            assert!(
                self.trailers.is_none(),
                "a stream that broke: {:?}",
                self.stream_error()
            );
            decoded(&body[..at], body[at + 8..].to_vec())
        } else {
            let answer: Value = serde_json::from_slice(&body).expect("a buffered answer is JSON");
            let text = answer["body"].as_str().unwrap_or_default();
            let content = if answer["isBase64Encoded"] == true {
                BASE64_STANDARD.decode(text).expect("a body is Base64 where it says so")
            } else {
                text.as_bytes().to_vec()
            };
            decoded(&body, content)
        }
    }
}

/// From a prelude or a buffered response: both have `statusCode` and headers.
fn decoded(json: &[u8], body: Vec<u8>) -> Exchange {
    let answer: Value = serde_json::from_slice(json).expect("a prelude is JSON");
    let status = answer["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
    let many = answer["multiValueHeaders"]
        .as_object()
        .filter(|headers| !headers.is_empty());
    let headers = many.or(answer["headers"].as_object()).expect("an answer has headers");
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.as_str().or(value[0].as_str()).expect("a header is text");
        (name.parse().expect("a name"), value.parse().expect("a value"))
    });
    Exchange {
        status: status
            .and_then(|code| StatusCode::from_u16(code).ok())
            .expect("an answer has a status"),
        headers: pairs.collect(),
        body: body.into(),
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
