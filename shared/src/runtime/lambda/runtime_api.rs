//! A client of the Lambda Runtime API that sends small writes at once.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use crate::deadline::Deadline;
use axum::{
    BoxError,
    http::{HeaderName, HeaderValue},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{self, CONTENT_TYPE, TRAILER},
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::{borrow::Cow, convert::Infallible, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// The platform's id of an invocation.
pub const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
/// Present if an environment serves many invocations at once; the answer must repeat it.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
/// The type of an error: a header of a posted error, a trailer of a streamed response.
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
/// The error as JSON, in Base64: a trailer of a streamed response.
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
/// How long a connection may stay busy after the API's response: an answer that was posted completely takes no time.
const SENT_TIMEOUT: Duration = Duration::from_millis(100);

/// How long before the platform's deadline, which is a second after that of the answer, the rest of it is given up.
const HEADROOM: Duration = Duration::from_millis(200);

pub type ApiBody = UnsyncBoxBody<Bytes, Infallible>;

/// An event and the headers that came with it.
pub struct Invocation {
    pub headers: HeaderMap,
    pub event: Bytes,
}

pub enum Answer {
    Buffered(Bytes),
    /// What is not taken a second after the deadline is given up.
    Streamed {
        body: ApiBody,
        deadline: Deadline,
    },
}

/// An error in the Runtime API's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub error_type: &'static str,
    pub error_message: Cow<'static, str>,
}

impl Failure {
    pub const fn new(error_type: &'static str, error_message: &'static str) -> Self {
        Self {
            error_type,
            error_message: Cow::Borrowed(error_message),
        }
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text")
    }
}

/// The trailers of a streamed response that failed after its beginning
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>).
pub fn error_trailers(failure: &Failure) -> HeaderMap {
    let body = BASE64_STANDARD.encode(failure.json());
    HeaderMap::from_iter([
        (ERROR_TYPE, HeaderValue::from_static(failure.error_type)),
        (ERROR_BODY, HeaderValue::try_from(body).expect("Base64 is ASCII")),
    ])
}

/// The client of one worker, connected at its first request.
pub struct RuntimeApi {
    host: String,
    /// The path of all endpoints. Emulators that serve several functions put the function's name before it.
    prefix: String,
    connection: Option<Connection>,
}

impl RuntimeApi {
    /// Takes `AWS_LAMBDA_RUNTIME_API`: `host:port`, or `http://host:port/prefix` from emulators.
    pub fn new(api: &str) -> Self {
        let api = api.strip_prefix("http://").unwrap_or(api);
        let (host, prefix) = api.split_once('/').unwrap_or((api, ""));
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self {
            host: host.to_owned(),
            prefix: format!("{slash}{prefix}/2018-06-01/runtime"),
            connection: None,
        }
    }

    /// Waits for the next invocation.
    ///
    /// # Errors
    /// The API cannot be reached, or refuses.
    pub async fn next(&mut self) -> Result<Invocation, BoxError> {
        let request = Request::get("/invocation/next").body(ApiBody::default())?;
        let (parts, body) = self.call(request).await?.into_parts();
        if !parts.status.is_success() {
            return Err(format!("status {} to a request for the next invocation", parts.status).into());
        }
        Ok(Invocation {
            headers: parts.headers,
            event: body.collect().await?.to_bytes(),
        })
    }

    /// Posts the answer. Returns when its body has ended, or when the API has responded before that.
    ///
    /// # Errors
    /// The API cannot be reached, or does not accept the whole answer.
    pub async fn respond(&mut self, invocation: &HeaderMap, answer: Result<Answer, Failure>) -> Result<(), BoxError> {
        let id = invocation.get(REQUEST_ID).map(HeaderValue::to_str).transpose()?;
        let id = id.ok_or("the invocation has no request id")?;
        let action = if answer.is_ok() { "response" } else { "error" };
        let mut request = Request::post(format!("/invocation/{id}/{action}"));
        if let Some(id) = invocation.get(INVOCATION_ID) {
            request = request.header(INVOCATION_ID, id);
        }
        let deadline = match &answer {
            Ok(Answer::Streamed { deadline, .. }) => deadline.clone().before(HEADROOM),
            _ => Deadline::default(),
        };
        let request = match answer {
            Ok(Answer::Buffered(body)) => request.body(Full::new(body).boxed_unsync()),
            Ok(Answer::Streamed { body, .. }) => request
                .header("lambda-runtime-function-response-mode", "streaming")
                .header(CONTENT_TYPE, "application/vnd.awslambda.http-integration-response")
                .header(TRAILER, HeaderValue::from_name(ERROR_TYPE))
                .header(TRAILER, HeaderValue::from_name(ERROR_BODY))
                .body(body),
            Err(failure) => {
                tracing::error!(
                    request_id = id,
                    error_type = failure.error_type,
                    "{}",
                    failure.error_message
                );
                request
                    .header(ERROR_TYPE, failure.error_type)
                    .body(Full::from(failure.json()).boxed_unsync())
            }
        };
        // Dropping the post breaks its connection: the platform does not take the answer for whole.
        let posted = deadline.cut_off(self.post(request?)).await;
        posted.unwrap_or(Err("the answer was not taken in time".into()))
    }

    /// Reports that this process cannot start.
    ///
    /// # Errors
    /// The API cannot be reached, or does not accept the report.
    pub async fn init_error(&mut self, failure: &Failure) -> Result<(), BoxError> {
        let request = Request::post("/init/error").header(ERROR_TYPE, failure.error_type);
        self.post(request.body(Full::from(failure.json()).boxed_unsync())?)
            .await
    }

    async fn post(&mut self, request: Request<ApiBody>) -> Result<(), BoxError> {
        let (parts, body) = self.call(request).await?.into_parts();
        // Only a response that is read to its end leaves the connection usable.
        body.collect().await?;
        let sent = match &mut self.connection {
            Some(connection) => timeout(SENT_TIMEOUT, connection.sender.ready()).await.is_ok(),
            None => true,
        };
        if !sent {
            // Nobody reads the rest of the answer. The next request needs a new connection.
            self.connection = None;
            return Err(format!("status {} before the end of the answer", parts.status).into());
        }
        if !parts.status.is_success() {
            return Err(format!("status {}", parts.status).into());
        }
        Ok(())
    }

    /// Sends a request whose path is relative to `/runtime`.
    ///
    /// # Errors
    /// No connection can be made, or it broke.
    async fn call(&mut self, mut request: Request<ApiBody>) -> Result<Response<Incoming>, BoxError> {
        *request.uri_mut() = format!("{}{}", self.prefix, request.uri().path()).parse::<Uri>()?;
        request.headers_mut().insert(header::HOST, self.host.parse()?);
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        let mut previous = self.connection.take();
        let is_usable = match &mut previous {
            Some(connection) => connection.sender.ready().await.is_ok(),
            None => false,
        };
        let mut connection = match previous.filter(|_| is_usable) {
            Some(connection) => connection,
            None => connect(&self.host).await?,
        };
        let response = connection.sender.send_request(request).await?;
        self.connection = Some(connection);
        Ok(response)
    }
}

const USER_AGENT: header::HeaderValue =
    header::HeaderValue::from_static(concat!("pilotlight/", env!("CARGO_PKG_VERSION")));

/// Dropping this aborts a request that is still being sent.
struct Connection {
    sender: http1::SendRequest<ApiBody>,
    _task: AbortOnDropHandle<hyper::Result<()>>,
}

/// Connects without Nagle's algorithm, which would delay the first chunk of a stream by 40 ms, until its head is acknowledged.
async fn connect(host: &str) -> Result<Connection, BoxError> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let task = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok(Connection { sender, _task: task })
}
