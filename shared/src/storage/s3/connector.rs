//! The HTTPS client as the SDK wants it.

use crate::{
    https,
    storage::response::{Expect, send},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use hyper::{Method, Uri};

#[derive(Clone, Debug)]
pub struct Connector(pub https::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let expect = expect(request.method(), request.uri());
            let response = send(&client, request, expect).await;
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The SDK marks the requests whose answer it streams.
fn expect(method: &Method, uri: &Uri) -> Expect {
    let reads = |query: &str| query.split('&').any(|pair| pair == "x-id=GetObject");
    if method == Method::GET && uri.query().is_some_and(reads) {
        Expect::Content
    } else {
        Expect::Text
    }
}
