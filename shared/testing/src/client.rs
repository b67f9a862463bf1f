//! A plain HTTP client, over HTTP/1.1 or h2c.

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};

/// A client that reuses its connections, as probes do.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpConnector, Body>);

/// A request's answer, read to its end.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Exchange {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    /// Status, headers and body: for messages, and to look for what must not be in an answer.
    pub fn transcript(&self) -> String {
        format!(
            "{} {:?} {}",
            self.status,
            self.headers,
            String::from_utf8_lossy(&self.body)
        )
    }
}

impl Client {
    /// Speaks HTTP/1.1.
    pub fn http1() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build(HttpConnector::new()))
    }

    /// Speaks HTTP/2 without TLS, by prior knowledge, as Cloud Run does.
    pub fn h2c() -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        Self(builder.http2_only(true).build(HttpConnector::new()))
    }

    /// Speaks HTTP/2 and never lets the server send content: its windows are empty.
    pub fn h2c_without_window() -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.http2_only(true).http2_initial_stream_window_size(0);
        Self(builder.build(HttpConnector::new()))
    }

    /// Sends a request with any body and reads its answer.
    pub async fn send_body(&self, method: Method, url: &str, body: Body) -> Exchange {
        read(self.begin(method, url, &[], body).await).await
    }

    /// Sends a request without a body; that of the answer is still to be read.
    pub async fn open(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.begin(method, url, headers, Body::empty()).await
    }

    /// GET, where the server may not be there; the body of the answer is still to be read.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn try_open(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response<Incoming>, String> {
        let sent = self.0.request(request(Method::GET, url, headers, Body::empty())).await;
        sent.map_err(|error| format!("{error:?}"))
    }

    /// Sends a request with a body; that of the answer is still to be read.
    pub async fn open_with_body(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Incoming> {
        self.begin(method, url, headers, body).await
    }

    /// Sends a request with a body and reads its answer.
    pub async fn exchange(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Exchange {
        read(self.begin(method, url, headers, body).await).await
    }

    /// The same where the server may break off, or may not be there: then why.
    ///
    /// # Errors
    /// Of the connection, before the answer or in it.
    pub async fn try_exchange(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Exchange, String> {
        let response = self.0.request(request(method, url, headers, body)).await;
        let (parts, body) = response.map_err(|error| format!("{error:?}"))?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
        Ok(Exchange {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// Sends a request without a body and reads its answer.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Exchange {
        read(self.open(method, url, headers).await).await
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Exchange {
        self.send(Method::GET, url, &[]).await
    }

    /// GET, whose answer may break: then why.
    pub async fn try_get(&self, url: &str) -> Result<Bytes, String> {
        let request = Request::get(url)
            .body(Body::empty())
            .expect("tests send valid requests");
        let response = self.0.request(request).await.map_err(|error| format!("{error:?}"))?;
        let body = response.into_body().collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("{error:?}"))
    }

    /// PUT.
    pub async fn put(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Exchange {
        read(self.begin(Method::PUT, url, headers, body.into()).await).await
    }

    /// Sends any request and reads its answer.
    pub async fn request(&self, request: Request<Body>) -> Exchange {
        read(self.0.request(request).await.expect("the server answers")).await
    }

    async fn begin(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Response<Incoming> {
        let answer = self.0.request(request(method, url, headers, body)).await;
        answer.expect("the server answers")
    }
}

fn request(method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("tests send valid requests")
}

async fn read(response: Response<Incoming>) -> Exchange {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the answer is whole");
    Exchange {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    }
}
