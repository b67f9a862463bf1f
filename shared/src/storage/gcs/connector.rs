//! The HTTP layer below `object_store`, which adds what its interface lacks: checksums, generations, the attributes of
//! a copy, keys that are not paths, and the status and error code of an answer.

use super::{failure::failure, header_value, listing, step::Step};
use crate::{
    https,
    storage::{
        Crc32c, Error,
        response::{Bounded, Expect, send},
    },
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, StatusCode, Uri, header::HeaderName, header::HeaderValue};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::{Arc, Mutex, PoisonError};

pub const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-goog-copy-source");

/// What to add to the requests of one call.
#[derive(Default)]
pub struct Extra {
    /// Headers for the request that copies.
    pub copy_headers: HeaderMap,
    /// The generation to delete.
    pub generation: Option<String>,
}

/// The last request of a call, and its answer.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    pub step: Step,
    pub status: Option<StatusCode>,
    /// The code of an error: <https://cloud.google.com/storage/docs/xml-api/reference-status>.
    pub code: Option<String>,
    pub generation: Option<String>,
    /// XML of a listing.
    pub listing: String,
}

#[derive(Default)]
struct Call {
    extra: Extra,
    answered: Mutex<Answered>,
}

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// Drives one call.
pub async fn call<T>(future: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
    call_with(Extra::default(), future).await.map(|(result, _)| result)
}

/// Drives one call. Adds `extra` to its requests, and returns more of the answer than `object_store` does.
pub async fn call_with<T>(
    extra: Extra,
    future: impl Future<Output = object_store::Result<T>>,
) -> Result<(T, Answered), Error> {
    let call = Arc::new(Call {
        extra,
        answered: Mutex::default(),
    });
    let result = CALL.scope(Arc::clone(&call), future).await;
    let answered = call.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match result {
        Ok(result) => Ok((result, answered)),
        Err(error) => Err(failure(error, &answered)),
    }
}

#[derive(Clone, Debug)]
pub struct Connector {
    pub client: https::Client,
    /// The URL of an emulator, which replaces the signing service too.
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
        let call = CALL.try_with(Arc::clone).unwrap_or_default();
        let step = Step::new(&request);
        call.record(Answered {
            step,
            ..Answered::default()
        });
        match step {
            Step::Object => self.complete(&mut request, &call.extra).await,
            Step::Sign => self.redirect(&mut request),
            Step::List | Step::Token => {}
        }
        let is_content = step == Step::Object && request.method() == Method::GET;
        let expect = if is_content { Expect::Content } else { Expect::Text };
        let response = send(&self.client, request, expect).await.map_err(|error| {
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, error)
        })?;
        call.read(step, response).await
    }
}

impl Connector {
    /// Adds the checksum of the content, which GCS verifies, and the [`Extra`] of the call.
    async fn complete(&self, request: &mut HttpRequest, extra: &Extra) {
        // A DELETE with a query aborts an upload, which has no generation yet.
        let generation = extra
            .generation
            .as_deref()
            .filter(|_| request.method() == Method::DELETE);
        let query = match (generation, request.uri().query()) {
            (Some(generation), None) => format!("?generation={}", utf8_percent_encode(generation, NON_ALPHANUMERIC)),
            (_, query) => query.map(|query| format!("?{query}")).unwrap_or_default(),
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{}{query}", decoded(request.uri().path())).parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        if let Some(source) = request.headers().get(COPY_SOURCE) {
            let source = decoded(source.to_str().unwrap_or_default());
            request.headers_mut().insert(COPY_SOURCE, header_value(source));
            request.headers_mut().extend(extra.copy_headers.clone());
        } else if request.method() == Method::PUT {
            let crc32c = crc32c_of(request.body().clone()).await;
            let hash = header_value(format!("crc32c={}", crc32c.base64()));
            request.headers_mut().insert(HASH, hash);
        }
    }

    fn redirect(&self, request: &mut HttpRequest) {
        let path = request.uri().path();
        let uri: Option<Uri> = self
            .emulator
            .as_ref()
            .and_then(|emulator| format!("{emulator}{path}").parse().ok());
        if let Some(uri) = uri {
            *request.uri_mut() = uri;
        }
    }
}

impl Call {
    fn record(&self, answered: Answered) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = answered;
    }

    /// Reads what `object_store` does not return, and the whole of a listing, which `object_store` may refuse.
    async fn read(&self, step: Step, response: hyper::Response<Bounded>) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = response.into_parts();
        let body = HttpResponseBody::new(body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error)));
        let header = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let mut answered = Answered {
            step,
            status: Some(parts.status),
            generation: parts.headers.get("x-goog-generation").and_then(header),
            ..Answered::default()
        };
        // Recorded now, because the body may break. A 404 is not: only its body says whether the key or the bucket is missing.
        if parts.status != StatusCode::NOT_FOUND {
            self.record(answered.clone());
        }
        if let Some(crc32c) = crc32c_in(&parts.headers) {
            parts.extensions.insert(crc32c);
        }
        let body = match step {
            _ if !parts.status.is_success() => {
                let text = body.bytes().await?;
                answered.code = listing::error_code(&String::from_utf8_lossy(&text));
                Bytes::from(String::from_utf8_lossy(&text).into_owned()).into()
            }
            Step::List => {
                answered.listing = String::from_utf8_lossy(&body.bytes().await?).into_owned();
                HttpResponseBody::from("<ListBucketResult/>".to_owned())
            }
            Step::Token | Step::Sign | Step::Object => body,
        };
        self.record(answered);
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// Undoes one of two encodings: `object_store` encodes what [`path`](super::path) has encoded.
fn decoded(encoded: &str) -> String {
    encoded.replace("%25", "%")
}

/// Takes a clone of the body, which shares its memory.
async fn crc32c_of(mut body: HttpRequestBody) -> Crc32c {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            digest.update(data);
        }
    }
    Crc32c(digest.finalize() as u32)
}

/// The checksum in the headers: one header `crc32c=...,md5=...`, or two headers.
fn crc32c_in(headers: &HeaderMap) -> Option<Crc32c> {
    let values = headers.get_all(HASH).iter().filter_map(|value| value.to_str().ok());
    let mut hashes = values.flat_map(|value| value.split(','));
    hashes.find_map(|hash| Crc32c::from_base64(hash.trim().strip_prefix("crc32c=")?))
}
