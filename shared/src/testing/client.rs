//! A plain HTTP client, over HTTP/1.1 or h2c.

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Keeps its connections, as probes do.
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

    /// Everything a client sees, as text: to look for what must not be in it.
    pub fn text(&self) -> String {
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

    /// Sends a request without a body; that of the answer is still to be read.
    pub async fn open(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.begin(method, url, headers, Body::empty()).await
    }

    /// Sends a request without a body and reads its answer.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Exchange {
        read(self.open(method, url, headers).await).await
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Exchange {
        self.send(Method::GET, url, &[]).await
    }

    /// PUT.
    pub async fn put(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Exchange {
        read(self.begin(Method::PUT, url, headers, body.into()).await).await
    }

    async fn begin(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("tests send valid requests");
        self.0.request(request).await.expect("the server answers")
    }
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
