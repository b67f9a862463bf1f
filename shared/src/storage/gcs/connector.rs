//! What `object_store` has no words for, on the wire below it: checksums, attributes of a copy, the status of an answer.

use super::text;
use crate::storage::{Crc32c, Error, http, objects::failure};
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, StatusCode, header::HeaderName};
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

pub const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const IAM: &str = "iamcredentials.googleapis.com";

/// What one call to `object_store` tells the connector below it, and learns from it.
struct Call {
    headers: HeaderMap,
    status: AtomicU16,
}

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// Drives one call, with more headers on its requests.
pub async fn call<T>(headers: HeaderMap, future: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
    let call = Arc::new(Call {
        headers,
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
        if request.method() == Method::PUT {
            let mut crc32c = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            let mut body = request.body().clone();
            while let Some(Ok(frame)) = body.frame().await {
                crc32c.update(frame.data_ref().map_or(&[][..], |data| data));
            }
            let is_copy = request.headers().contains_key("x-goog-copy-source");
            if !is_copy {
                let value = Crc32c(crc32c.finalize() as u32).base64();
                request.headers_mut().insert(HASH, text(format!("crc32c={value}")));
            }
        }
        let call = CALL.try_with(Arc::clone).ok();
        if let Some(call) = &call {
            request.headers_mut().extend(call.headers.clone());
        }
        let mut response = self.client.call(request).await?;
        if let Some(call) = call {
            call.status.store(response.status().as_u16(), Ordering::Relaxed);
        }
        let hashes = response
            .headers()
            .get_all(HASH)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let crc32c = hashes
            .flat_map(|value| value.split(','))
            .find_map(|hash| Crc32c::from_base64(hash.trim().strip_prefix("crc32c=")?));
        if let Some(crc32c) = crc32c {
            response.extensions_mut().insert(crc32c);
        }
        Ok(response)
    }
}
