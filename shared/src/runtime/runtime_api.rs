//! A connection to the Lambda Runtime API that sends small writes at once.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, error::Error};
use tokio::net::TcpStream;

pub type BoxError = Box<dyn Error + Send + Sync>;
pub type ApiBody = UnsyncBoxBody<Bytes, Infallible>;

/// One worker's side of the API, connected at its first request.
pub struct RuntimeApi {
    host: String,
    /// Emulators that serve many functions tell them apart by a path.
    prefix: String,
    connection: Option<http1::SendRequest<ApiBody>>,
}

impl RuntimeApi {
    /// Takes `AWS_LAMBDA_RUNTIME_API`: `host:port`, or `host:port/prefix`.
    pub fn new(api: &str) -> Self {
        let (host, prefix) = api.split_once('/').unwrap_or((api, ""));
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self {
            host: host.to_owned(),
            prefix: format!("{slash}{prefix}/2018-06-01/runtime/invocation"),
            connection: None,
        }
    }

    /// Sends a request whose path is relative to `/runtime/invocation/`.
    ///
    /// # Errors
    /// The connection cannot be made, or broke.
    pub async fn call(&mut self, mut request: Request<ApiBody>) -> Result<Response<Incoming>, BoxError> {
        *request.uri_mut() = format!("{}{}", self.prefix, request.uri().path()).parse::<Uri>()?;
        request.headers_mut().insert(header::HOST, self.host.parse()?);
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => connect(&self.host).await?,
        };
        connection.ready().await?;
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
