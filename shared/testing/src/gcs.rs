//! An emulator of GCS's XML API, of its sign-in, and of its faults. The emulator checks preconditions, checksums, bearer
//! tokens and V4 signatures. Source: <https://cloud.google.com/storage/docs/xml-api/reference-methods>.

mod auth;
mod content;
mod objects;
mod uploads;

use super::loopback;
pub use auth::{Auth, key_file};
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use objects::Objects;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::net::TcpListener;

/// The bucket in which every request is denied.
pub const CLOSED_BUCKET: &str = "closed";

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Nothing, for the requests before the one to fail.
    None,
    /// Refused with this status: 401, 403, 408, 429, 503.
    Status(u16),
    /// The connection breaks before the request is carried out.
    Reset,
    /// The connection breaks after the request was carried out.
    LostAnswer,
    /// The answer's body breaks in its middle.
    Truncated,
    /// A bit of the answer's body, or of the content that is put, is not what was sent.
    Flipped,
    /// No answer, ever.
    Silence,
}

/// One bucket. Dropping it ends the emulator.
pub struct GcsEmulator {
    /// The value for `STORAGE_EMULATOR_HOST`.
    pub url: String,
    state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    bucket: String,
    auth: Auth,
    always: Option<Fault>,
    next: VecDeque<Fault>,
    requests: usize,
    objects: Objects,
}

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl GcsEmulator {
    /// Listens on a free port and serves `bucket` to anybody.
    pub async fn start(bucket: &str) -> Self {
        let state = Arc::new(Mutex::new(State {
            bucket: bucket.to_owned(),
            auth: Auth::Anybody,
            always: None,
            next: VecDeque::new(),
            requests: 0,
            objects: Objects::default(),
        }));
        let (listener, url) = loopback().await;
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, server }
    }

    /// Sets whom the emulator serves from now on.
    pub fn serve_only(&self, auth: Auth) {
        self.lock().auth = auth;
    }

    /// Sets what goes wrong with every request from now on.
    pub fn always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    /// Sets what goes wrong with the next requests, one by one.
    pub fn next(&self, faults: &[Fault]) {
        self.lock().next = faults.iter().copied().collect();
    }

    /// Every key in the bucket, once for each version, and the number of uploads that nobody ended and that have parts.
    pub fn contents(&self) -> (Vec<String>, usize) {
        self.lock().objects.contents()
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Turns Object Versioning on.
    pub fn keep_versions(&self) {
        self.lock().objects.versioned = true;
    }

    /// Puts an object hold on a key.
    pub fn hold(&self, key: &str) {
        self.lock().objects.held.insert(key.to_owned());
    }

    /// Puts an object as somebody else would, under any name.
    pub fn put(&self, key: &str, content: &'static str) {
        self.lock().objects.store(key, content.into(), hyper::HeaderMap::new());
    }

    /// Flips a bit of an object where it lies.
    pub fn rot(&self, key: &str) {
        self.lock().objects.rot(key);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no handler panics")
    }
}

impl Drop for GcsEmulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(Arc::clone(&state), request));
            let http = auto::Builder::new(TokioExecutor::new());
            // The service breaks the connection by returning an error.
            http.serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> io::Result<Answer> {
    let fault = {
        let mut state = state.lock().expect("no handler panics");
        state.requests += 1;
        state.next.pop_front().or(state.always)
    };
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    match fault {
        Some(Fault::Silence) => future::pending().await,
        Some(Fault::Reset) => return Err(io::Error::other("reset")),
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return Ok(xml_error(status, "Injected").answer());
        }
        _ => {}
    }
    let body = if fault == Some(Fault::Flipped) && parts.method == Method::PUT {
        flipped(&body)
    } else {
        body
    };
    let mut state = state.lock().expect("no handler panics");
    let answer = state.answer(&parts, &body).unwrap_or_else(XmlError::answer);
    match fault {
        Some(Fault::LostAnswer) => Err(io::Error::other("lost")),
        Some(Fault::Truncated) => Ok(truncated(answer)),
        Some(Fault::Flipped) if parts.method == Method::GET => Ok(answer.map(|body| {
            body.map_frame(|frame| frame.map_data(|data| flipped(&data)))
                .boxed_unsync()
        })),
        _ => Ok(answer),
    }
}

impl State {
    fn answer(&mut self, request: &hyper::http::request::Parts, body: &Bytes) -> Result<Answer, XmlError> {
        if let Some(answer) = auth::answer(request, body) {
            return answer;
        }
        let path = request.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        self.auth.check(request)?;
        if bucket == CLOSED_BUCKET {
            return Err(xml_error(StatusCode::FORBIDDEN, "AccessDenied"));
        }
        if decoded(bucket) != self.bucket {
            return Err(xml_error(StatusCode::NOT_FOUND, "NoSuchBucket"));
        }
        self.objects.answer(request, &decoded(key), body)
    }
}

/// An error of the XML API: a status and a code.
struct XmlError(StatusCode, &'static str);

fn xml_error(status: StatusCode, code: &'static str) -> XmlError {
    XmlError(status, code)
}

impl XmlError {
    fn answer(self) -> Answer {
        let Self(status, code) = self;
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>Recognisable.</Message></Error>"
        );
        response(status, body)
    }
}

fn response(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Half of the body, with the `Content-Length` of the whole.
fn truncated(answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let length = hyper::body::Body::size_hint(&body).exact().unwrap_or_default();
    parts.headers.insert(hyper::header::CONTENT_LENGTH, length.into());
    let half = usize::try_from(length / 2).unwrap_or_default();
    let frames = stream::once(async move { body.collect().await }).flat_map(move |whole| {
        let whole = whole.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let half = Frame::data(whole.slice(..half.min(whole.len())));
        let broken = stream::once(async {
            // Hyper writes what it has while the body waits; an error at once would take the head with it.
            tokio::task::yield_now().await;
            Err(io::Error::other("truncated"))
        });
        stream::iter([Ok(half)]).chain(broken)
    });
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

fn flipped(content: &Bytes) -> Bytes {
    let mut content = content.to_vec();
    let middle = content.len() / 2;
    if let Some(byte) = content.get_mut(middle) {
        *byte ^= 1;
    }
    content.into()
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// The value of a parameter of the query.
fn parameter(request: &hyper::http::request::Parts, name: &str) -> Option<String> {
    let query = request.uri.query().unwrap_or_default();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| decoded(&value.replace('+', " ")))
}
