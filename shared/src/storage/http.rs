//! The HTTP client under both SDKs: one pool and one TLS configuration (rustls, ring, webpki roots), built once.

use aws_smithy_runtime_api::client::{
    http::{HttpConnector as SmithyConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest as SmithyRequest, HttpResponse as SmithyResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use std::{error::Error, time::Duration};

type BoxError = Box<dyn Error + Send + Sync>;

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

    async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, legacy::Error>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        self.0.request(request).await
    }
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.send(request).await.map_err(|error| {
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, error)
        })?;
        Ok(response
            .map(|body| HttpResponseBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)))))
    }
}

impl SmithyConnector for Client {
    fn call(&self, request: SmithyRequest) -> HttpConnectorFuture {
        let client = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.send(request).await;
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            SmithyResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
