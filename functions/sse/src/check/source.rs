//! The source of the stream that the check reads: the routes of this binary, or a URL.

#[cfg(not(feature = "https"))]
use super::plain_http::connect;
use super::{PATIENCE, Reason};
use axum::{
    BoxError, Router,
    body::Body,
    http::{HeaderValue, Request, Response, Uri, header},
};
use hyper::client::conn::http1;
#[cfg(feature = "https")]
use shared::https::connect;
use shared::telemetry;
use tokio::time::timeout;
use tower::ServiceExt;

/// `Accept-Encoding` as browsers send it.
pub const BROWSER: HeaderValue = HeaderValue::from_static("gzip, deflate, br");
/// `Accept-Encoding` for a stream whose ids can be read: without compression.
pub const PLAIN: HeaderValue = HeaderValue::from_static("identity");

/// What the check reads.
pub enum Source {
    /// The routes of this binary.
    Routes(Router),
    /// A deployed stream, through every proxy on the way.
    Url(String),
}

/// An event stream whose response head has arrived.
pub struct Opened {
    /// Its content coding, if it has one.
    pub encoding: Option<&'static str>,
    pub body: Body,
}

impl Source {
    /// Opens the stream with this `Accept-Encoding`.
    ///
    /// # Errors
    /// The reason; its cause is logged.
    pub async fn open(&self, accept_encoding: HeaderValue) -> Result<Opened, Reason> {
        let response = match self {
            Self::Routes(routes) => {
                let request = request(crate::PATH.parse().expect("the route is a path"), accept_encoding);
                let Ok(response) = routes.clone().oneshot(request).await;
                response
            }
            Self::Url(url) => send(&url.parse().map_err(|_| Reason::Misconfigured)?, accept_encoding).await?,
        };
        let media_type = response.headers().get(header::CONTENT_TYPE);
        let streams = media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if response.status() != 200 || !streams {
            tracing::error!(status = response.status().as_u16(), ?media_type, "not an event stream");
            return Err(Reason::NotAStream);
        }
        Ok(Opened {
            encoding: encoding(&response),
            body: response.into_body(),
        })
    }
}

/// The content coding as a word of a closed set, because a report repeats nothing that a proxy wrote.
fn encoding(response: &Response<Body>) -> Option<&'static str> {
    let encoding = response.headers().get(header::CONTENT_ENCODING)?;
    Some(
        match encoding
            .to_str()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "identity" => return None,
            "gzip" | "x-gzip" => "gzip",
            "deflate" => "deflate",
            "br" => "br",
            _ => "other",
        },
    )
}

fn request(uri: Uri, accept_encoding: HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let accept = HeaderValue::from_static("text/event-stream");
    request.headers_mut().insert(header::ACCEPT, accept);
    request.headers_mut().insert(header::ACCEPT_ENCODING, accept_encoding);
    *request.uri_mut() = uri;
    request
}

/// Sends one request on a new connection.
async fn send(url: &Uri, accept_encoding: HeaderValue) -> Result<Response<Body>, Reason> {
    let unreachable = |error: BoxError| {
        tracing::error!(error, "the stream cannot be opened");
        Reason::Unreachable
    };
    let connected = timeout(PATIENCE, handshake(url)).await.map_err(|_| Reason::Timeout)?;
    let (mut sender, request) = connected
        .and_then(|sender| Ok((sender, addressed(url, accept_encoding)?)))
        .map_err(unreachable)?;
    let response = timeout(PATIENCE, sender.send_request(request)).await.map_err(|_| {
        tracing::error!("connected, and no head of a response: the server hangs, or something holds its stream back");
        Reason::Buffered
    })?;
    response
        .map(|response| response.map(Body::new))
        .map_err(|error| unreachable(error.into()))
}

fn addressed(url: &Uri, accept_encoding: HeaderValue) -> Result<Request<Body>, BoxError> {
    let authority = url.authority().ok_or("CHECK_URL names no host")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = request(path.parse()?, accept_encoding);
    // `Host` leaves out a user and password in the URL (RFC 9110, sections 4.2.4 and 7.2).
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    request.headers_mut().insert(header::HOST, host.parse()?);
    Ok(request)
}

async fn handshake(url: &Uri) -> Result<http1::SendRequest<Body>, BoxError> {
    let (sender, connection) = http1::handshake(connect(url).await?).await?;
    telemetry::spawn(connection);
    Ok(sender)
}
