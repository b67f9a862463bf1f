//! What `object_store` has no words for, on the wire below it: checksums, attributes of a copy, the status of an answer.

use super::text;
use crate::storage::{Crc32c, Error, http, objects::failure};
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, StatusCode, header::HeaderName};
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpService},
};
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

pub const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-goog-copy-source");
const IAM: &str = "iamcredentials.googleapis.com";

/// What one call to `object_store` tells the connector below it, and learns from it.
struct Call {
    /// Of the request that copies.
    copy_headers: HeaderMap,
    status: AtomicU16,
}

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// Drives one call.
pub async fn call<T>(future: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
    copy(HeaderMap::new(), future).await
}

/// Drives a copy, with more headers than `object_store` gives it.
pub async fn copy<T>(
    copy_headers: HeaderMap,
    future: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Error> {
    let call = Arc::new(Call {
        copy_headers,
        status: AtomicU16::new(0),
    });
    CALL.scope(Arc::clone(&call), future).await.map_err(|error| {
        let status = StatusCode::from_u16(call.status.load(Ordering::Relaxed));
        failure(error, status.ok())
    })
}

/// Adds what `object_store` leaves out: the checksum of what is sent, which GCS holds it to, and of what is received.
#[derive(Clone, Debug)]
pub struct Connector {
    pub client: http::Client,
    /// The URL of an emulator, which stands in for the signing service too.
    pub emulator: Option<String>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(emulator) = &self.emulator
            && request.uri().host() == Some(IAM)
        {
            let path = request.uri().path().to_owned();
            if let Ok(uri) = format!("{emulator}{path}").parse() {
                *request.uri_mut() = uri;
            }
        }
        let call = CALL.try_with(Arc::clone).ok();
        if request.headers().contains_key(COPY_SOURCE) {
            let headers = call.as_ref().map(|call| call.copy_headers.clone());
            request.headers_mut().extend(headers.unwrap_or_default());
        } else if request.method() == Method::PUT {
            let crc32c = crc32c_of(request.body().clone()).await;
            let hash = text(format!("crc32c={}", crc32c.base64()));
            request.headers_mut().insert(HASH, hash);
        }
        let mut response = self.client.call(request).await?;
        if let Some(call) = call {
            call.status.store(response.status().as_u16(), Ordering::Relaxed);
        }
        if let Some(crc32c) = crc32c_in(response.headers()) {
            response.extensions_mut().insert(crc32c);
        }
        Ok(response)
    }
}

/// The body is in memory, and a clone of it shares that.
async fn crc32c_of(mut body: HttpRequestBody) -> Crc32c {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            digest.update(data);
        }
    }
    Crc32c(digest.finalize() as u32)
}

/// From `crc32c=...,md5=...`, or from two headers.
fn crc32c_in(headers: &HeaderMap) -> Option<Crc32c> {
    let values = headers.get_all(HASH).iter().filter_map(|value| value.to_str().ok());
    let mut hashes = values.flat_map(|value| value.split(','));
    hashes.find_map(|hash| Crc32c::from_base64(hash.trim().strip_prefix("crc32c=")?))
}
