//! The HTTP client under both SDKs: one pool and one TLS configuration (rustls, ring, webpki roots), built once.

use aws_smithy_runtime_api::client::{
    http::{HttpConnector as SmithyConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest as SmithyRequest, HttpResponse as SmithyResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    header::CONTENT_LENGTH,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

pub type BoxError = Box<dyn Error + Send + Sync>;

/// What is read of an error, in bytes: stores send less than 1 KiB. The status has to do for what is longer.
const ERROR_LIMIT: u64 = 64 << 10;
/// What is read of any other answer that is held in memory, in bytes: 1,000 keys of 1,024 bytes, each escaped, are 6 MB.
const TEXT_LIMIT: u64 = 8 << 20;

/// What an answer may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// The content of an object, of any size: whoever asks for it reads it in pieces.
    Content,
    /// A listing, a token: something that the SDKs collect in memory.
    Text,
}

/// Clones share the pool. Timeouts of a whole request are the caller's.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpsConnector<HttpConnector>, UnsyncBoxBody<Bytes, BoxError>>);

impl Client {
    /// Takes 0.1 ms: webpki roots are part of the binary, so no file is read.
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring supports the default TLS versions")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut client = legacy::Client::builder(TokioExecutor::new());
        // Longer, and a process that was frozen would wait on connections that nobody remembers.
        client.pool_idle_timeout(Duration::from_secs(10));
        Self(client.build(connector))
    }

    /// The body of the answer is bounded, unless it is content.
    pub async fn send<B>(&self, request: Request<B>, expect: Expect) -> Result<Response<Bounded>, legacy::Error>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let mut response = self.0.request(request).await?;
        let (left, truncates) = match (response.status().is_success(), expect) {
            (false, _) => (ERROR_LIMIT, true),
            (true, Expect::Text) => (TEXT_LIMIT, false),
            (true, Expect::Content) => (u64::MAX, false),
        };
        if truncates {
            // The SDK would take what is left out for a broken connection.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        Ok(response.map(|body| Bounded { body, left, truncates }))
    }
}

/// A body that ends at a limit: as if there were no more, or with an error.
pub struct Bounded {
    body: Incoming,
    left: u64,
    truncates: bool,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 && self.truncates {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end.map(|end| end.map_err(Into::into))),
        };
        let Ok(mut data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        if data.len() as u64 > self.left && !self.truncates {
            return Poll::Ready(Some(Err("the answer is longer than any that a store gives".into())));
        }
        data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Content alone may say how long it is: who collects the rest would reserve what a store only claims.
    fn size_hint(&self) -> SizeHint {
        match self.left {
            u64::MAX => self.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl SmithyConnector for Client {
    fn call(&self, request: SmithyRequest) -> HttpConnectorFuture {
        let client = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let expect = expect(request.method(), request.uri());
            let response = client.send(request, expect).await;
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            SmithyResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The SDK marks the requests that it streams the answers of.
fn expect(method: &Method, uri: &Uri) -> Expect {
    let reads = |query: &str| query.split('&').any(|pair| pair == "x-id=GetObject");
    if method == Method::GET && uri.query().is_some_and(reads) {
        Expect::Content
    } else {
        Expect::Text
    }
}
