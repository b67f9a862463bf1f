//! A connection to the Lambda Runtime API that sends small writes at once.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use axum::http::HeaderValue;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{self, CONTENT_TYPE},
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::{convert::Infallible, error::Error};
use tokio::net::TcpStream;

/// The platform's id of an invocation.
pub const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
/// Set where an environment serves many invocations at once; the answer must repeat it.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

pub type BoxError = Box<dyn Error + Send + Sync>;
pub type ApiBody = UnsyncBoxBody<Bytes, Infallible>;

/// One event and what came with it.
pub struct Invocation {
    pub headers: HeaderMap,
    pub event: Bytes,
}

pub enum Answer {
    Buffered(Bytes),
    Streamed(ApiBody),
}

/// An invocation error, in the Runtime API's shape.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub error_type: &'static str,
    pub error_message: &'static str,
}

/// One worker's side of the API, connected at its first request.
pub struct RuntimeApi {
    host: String,
    /// Emulators that serve many functions tell them apart by a path.
    prefix: String,
    connection: Option<http1::SendRequest<ApiBody>>,
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
            prefix: format!("{slash}{prefix}/2018-06-01/runtime/invocation"),
            connection: None,
        }
    }

    /// Waits for the next invocation.
    ///
    /// # Errors
    /// The API is gone, or refuses.
    pub async fn next(&mut self) -> Result<Invocation, BoxError> {
        let request = Request::get("/next").body(ApiBody::default())?;
        let (parts, body) = self.call(request).await?.into_parts();
        if !parts.status.is_success() {
            return Err(format!("status {} to a request for the next invocation", parts.status).into());
        }
        Ok(Invocation {
            headers: parts.headers,
            event: body.collect().await?.to_bytes(),
        })
    }

    /// Posts the answer; returns when its body has ended.
    ///
    /// # Errors
    /// The API is gone, or does not take the answer.
    pub async fn respond(&mut self, invocation: &HeaderMap, answer: Result<Answer, Failure>) -> Result<(), BoxError> {
        let id = invocation.get(REQUEST_ID).map(HeaderValue::to_str).transpose()?;
        let id = id.ok_or("the invocation has no request id")?;
        let action = if answer.is_ok() { "response" } else { "error" };
        let mut request = Request::post(format!("/{id}/{action}"));
        if let Some(id) = invocation.get(INVOCATION_ID) {
            request = request.header(INVOCATION_ID, id);
        }
        let request = match answer {
            Ok(Answer::Buffered(body)) => request.body(Full::new(body).boxed_unsync()),
            Ok(Answer::Streamed(body)) => request
                .header("lambda-runtime-function-response-mode", "streaming")
                .header(CONTENT_TYPE, "application/vnd.awslambda.http-integration-response")
                .body(body),
            Err(failure) => {
                tracing::error!(
                    request_id = id,
                    error_type = failure.error_type,
                    "{}",
                    failure.error_message
                );
                request
                    .header("lambda-runtime-function-error-type", failure.error_type)
                    .body(Full::from(serde_json::to_vec(&failure)?).boxed_unsync())
            }
        };
        let (parts, body) = self.call(request?).await?.into_parts();
        // Read to its end, or the connection could not serve the next request.
        body.collect().await?;
        if parts.status.is_success() {
            Ok(())
        } else {
            Err(format!("status {}", parts.status).into())
        }
    }

    /// Sends a request whose path is relative to `/runtime/invocation/`.
    ///
    /// # Errors
    /// The connection cannot be made, or broke.
    async fn call(&mut self, mut request: Request<ApiBody>) -> Result<Response<Incoming>, BoxError> {
        *request.uri_mut() = format!("{}{}", self.prefix, request.uri().path()).parse::<Uri>()?;
        request.headers_mut().insert(header::HOST, self.host.parse()?);
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        let mut kept = self.connection.take();
        let usable = match &mut kept {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        let mut connection = match kept.filter(|_| usable) {
            Some(connection) => connection,
            None => connect(&self.host).await?,
        };
        let response = connection.send_request(request).await?;
        self.connection = Some(connection);
        Ok(response)
    }
}

const USER_AGENT: header::HeaderValue =
    header::HeaderValue::from_static(concat!("pilotlight/", env!("CARGO_PKG_VERSION")));

/// Without Nagle's algorithm, which would hold a stream's first chunk back until its head is acknowledged: 40 ms.
async fn connect(host: &str) -> Result<http1::SendRequest<ApiBody>, BoxError> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
