//! The HTTPS client of this process: HTTP/1.1 over TLS (rustls, ring, webpki roots), and plain HTTP for emulators and
//! loopback. The roots are part of the binary, so no file is read.
//!
//! Two limits are the same for every caller. A TCP connection opens within 5 s, or fails. A connection that was idle for
//! more than 10 s is not reused: while Lambda freezes a process, servers close its connections, and the process does not
//! notice. The caller bounds the time for a whole request, because only the caller knows its deadline; dropping the
//! future closes the connection.

use axum::BoxError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, Uri,
    body::{Body, Incoming},
    rt::{Read, Write},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
pub use hyper_util::client::legacy::Error;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::time::Duration;
use tower::ServiceExt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The client. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpsConnector<HttpConnector>, UnsyncBoxBody<Bytes, BoxError>>);

impl Default for Client {
    /// A client that connects at its first request. Creating one takes 0.1 ms.
    fn default() -> Self {
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(IDLE_TIMEOUT);
        Self(client.build(connector(Some(CONNECT_TIMEOUT))))
    }
}

impl Client {
    /// Sends a request. The body of the response is read as it arrives, and has no limit.
    ///
    /// # Errors
    /// Connecting failed, or the connection broke before the head of the response.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.0
            .request(request.map(|body| body.map_err(Into::into).boxed_unsync()))
            .await
    }

    /// Sends a request and reads the whole response, with a body of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Client::send`]; or the connection broke within the body, or the body is longer than `limit`.
    pub async fn fetch(&self, request: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, BoxError> {
        let (head, body) = self.send(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, limit).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// Opens one connection outside of any pool, for a caller that bounds connecting and waiting separately. There is no limit
/// on the time but the caller's.
///
/// # Errors
/// The URL is neither `http://` nor `https://`; its host has no address, does not answer, or fails the TLS handshake.
pub async fn connect(url: &Uri) -> Result<impl Read + Write + Unpin + Send + 'static, BoxError> {
    connector(None).oneshot(url.clone()).await
}

fn connector(tcp_timeout: Option<Duration>) -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(tcp_timeout);
    HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .expect("ring supports the default TLS versions")
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// Answers each connection once, with 5 bytes.
    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 1024]).await;
                let _ = client
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                    .await;
            }
        });
        url
    }

    #[tokio::test]
    async fn an_answer_is_fetched_whole_and_a_longer_one_than_its_limit_is_an_error() {
        let (client, url) = (Client::default(), server().await);
        let request = || Request::get(&url).body(Bytes::new()).unwrap();
        let answer = client.fetch(request(), 5).await.unwrap();
        assert_eq!(&answer.body()[..], b"hello");
        assert!(client.fetch(request(), 4).await.is_err());
    }

    #[tokio::test]
    async fn a_url_of_another_scheme_and_a_closed_port_are_errors() {
        for url in [
            "ftp://127.0.0.1",
            "nonsense",
            "http://127.0.0.1:1",
            "https://127.0.0.1:1",
        ] {
            assert!(connect(&url.parse().unwrap()).await.is_err(), "{url}");
            let request = Request::get(url).body(Bytes::new()).unwrap();
            assert!(Client::default().fetch(request, 1).await.is_err(), "{url}");
        }
    }
}
