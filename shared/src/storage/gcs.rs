//! Google Cloud Storage through `object_store`.

use super::{
    Attributes, Body, Crc32c, Error, Key, Kind, Object, Page, Presigned, SignPut, http,
    objects::{self, attributes, body, described, failure, options, path},
};
use crate::config;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use object_store::{
    ClientOptions, CopyMode, CopyOptions, ObjectStore, PutMode, PutOptions, RetryConfig, StaticCredentialProvider,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::{SignedUrlOptions, Signer},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const IAM: &str = "iamcredentials.googleapis.com";

pub struct Bucket(GoogleCloudStorage);

impl Bucket {
    pub fn new(name: &str, settings: &config::Storage) -> Result<Self, Error> {
        let emulator = settings.gcs_emulator.as_ref().map(|host| {
            let scheme = if host.contains("://") { "" } else { "http://" };
            format!("{scheme}{host}")
        });
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(name)
            .with_http_connector(Connector {
                client: http::Client::new(),
                emulator: emulator.clone(),
            })
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        if let Some(path) = &settings.gcs_credentials {
            builder = builder.with_application_credentials(path);
        }
        if let Some(url) = &emulator {
            builder = builder.with_base_url(url);
            // An emulator takes anybody, unless a key or a metadata server is there to be tried.
            if settings.gcs_credentials.is_none() && !settings.gcs_metadata_host {
                let bearer = GcpCredential {
                    bearer: "emulator".to_owned(),
                };
                builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(bearer)));
            }
        }
        let built = builder.build().map(Self);
        built.map_err(|error| Error::new(Kind::Misconfigured, error))
    }

    pub async fn put(
        &self,
        key: &Key,
        content: bytes::Bytes,
        given: &Attributes,
        overwrite: bool,
    ) -> Result<(), Error> {
        let options = PutOptions {
            mode: if overwrite { PutMode::Overwrite } else { PutMode::Create },
            attributes: attributes(given),
            ..PutOptions::default()
        };
        let key = path(key)?;
        call(HeaderMap::new(), self.0.put_opts(&key, content.into(), options))
            .await
            .map(drop)
    }

    pub async fn get(&self, key: &Key, range: Option<Range<u64>>, etag: Option<&str>) -> Result<(Object, Body), Error> {
        let path = path(key)?;
        let result = call(HeaderMap::new(), self.0.get_opts(&path, options(range, etag))).await?;
        Ok((described(key, &result), body(result)))
    }

    pub async fn head(&self, key: &Key) -> Result<Object, Error> {
        let path = path(key)?;
        let mut head = options(None, None);
        head.head = true;
        let result = call(HeaderMap::new(), self.0.get_opts(&path, head)).await?;
        Ok(described(key, &result))
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let prefix = under.map(|key| format!("{key}/"));
        let options = PaginatedListOptions {
            max_keys: Some(limit),
            page_token: page.map(str::to_owned),
            ..PaginatedListOptions::default()
        };
        let listed = call(HeaderMap::new(), self.0.list_paginated(prefix.as_deref(), options)).await?;
        let objects = listed.result.objects.iter();
        Ok(Page {
            objects: objects
                .map(|meta| objects::object(&Key::listed(meta.location.as_ref()), meta))
                .collect(),
            next: listed.page_token,
        })
    }

    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let path = path(key)?;
        let mut deleted = self.0.delete_stream(stream::iter([Ok(path)]).boxed());
        let deleted = async { deleted.next().await.unwrap_or_else(|| Ok(Path::default())) };
        call(HeaderMap::new(), deleted).await.map(drop)
    }

    /// With attributes of its own, which `object_store` has no words for.
    pub async fn copy(&self, from: &Key, to: &Key, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        let mode = if overwrite {
            CopyMode::Overwrite
        } else {
            CopyMode::Create
        };
        let mut headers = metadata(given);
        headers.insert("x-goog-metadata-directive", HeaderValue::from_static("REPLACE"));
        let (from, to) = (path(from)?, path(to)?);
        call(
            headers,
            self.0.copy_opts(&from, &to, CopyOptions::new().with_mode(mode)),
        )
        .await
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        let path = path(key)?;
        call(HeaderMap::new(), self.0.create_multipart(&path)).await
    }

    pub async fn part(&self, key: &Key, upload: &str, number: usize, content: bytes::Bytes) -> Result<String, Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        let part = call(
            HeaderMap::new(),
            self.0.put_part(&path, &upload, number, content.into()),
        );
        Ok(part.await?.content_id)
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        let parts = parts.iter().map(|part| PartId {
            content_id: part.clone(),
        });
        call(
            HeaderMap::new(),
            self.0.complete_multipart(&path, &upload, parts.collect()),
        )
        .await
        .map(drop)
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        call(HeaderMap::new(), self.0.abort_multipart(&path, &upload)).await
    }

    pub async fn sign_get(
        &self,
        key: &Key,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        let query = disposition.map(|value| ("response-content-disposition", value));
        let options = SignedUrlOptions::new().with_query(query);
        self.sign(Method::GET, key, lifetime, options).await
    }

    /// The length and the CRC32C are held by GCS; the SHA-256 is kept with the object, and held at every read.
    pub async fn sign_put(&self, key: &Key, put: &SignPut, given: &Attributes) -> Result<Presigned, Error> {
        let mut headers = metadata(given);
        let length = put.length.to_string();
        headers.insert("x-goog-content-length-range", text(format!("{length},{length}")));
        if let Some(crc32c) = put.crc32c {
            headers.insert(HASH, text(format!("crc32c={}", crc32c.base64())));
        }
        if !put.overwrite {
            headers.insert("x-goog-if-generation-match", HeaderValue::from_static("0"));
        }
        let mut options = SignedUrlOptions::new();
        options.signed_headers = headers;
        self.sign(Method::PUT, key, put.lifetime, options).await
    }

    async fn sign(
        &self,
        method: Method,
        key: &Key,
        lifetime: Duration,
        options: SignedUrlOptions,
    ) -> Result<Presigned, Error> {
        // As it will stand in the URL: a `?` in a key is no query.
        let encoded: Vec<String> = key
            .as_str()
            .split('/')
            .map(|segment| utf8_percent_encode(segment, UNRESERVED).to_string())
            .collect();
        let path = Path::parse(encoded.join("/")).map_err(|error| Error::new(Kind::Other, error))?;
        let signed = self.0.signed_url_opts(method.clone(), &path, lifetime, &options);
        let url = call(HeaderMap::new(), signed).await.map_err(|error| {
            let nobody = matches!(error.kind, Kind::Other | Kind::NotFound);
            let kind = if nobody { Kind::Unauthenticated } else { error.kind };
            Error::new(kind, format!("{NO_SIGNER}: {}", error.chain()))
        })?;
        let headers = options.signed_headers.iter();
        Ok(Presigned {
            method: method.to_string(),
            url: url.into(),
            headers: headers
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
        })
    }
}

const NO_SIGNER: &str = "a signed URL needs a service account: a key file in GOOGLE_APPLICATION_CREDENTIALS, or a metadata \
                         server whose account may iam.serviceAccounts.signBlob";

/// What a path segment is not encoded for (RFC 3986).
const UNRESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As GCS takes attributes: <https://cloud.google.com/storage/docs/xml-api/reference-headers>.
fn metadata(given: &Attributes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-goog-meta-pilotlight-upload", text(given.upload.clone()));
    if let Some(sha256) = given.sha256 {
        headers.insert("x-goog-meta-sha256", text(sha256.to_string()));
    }
    if let Some(content_type) = &given.content_type {
        headers.insert(hyper::header::CONTENT_TYPE, text(content_type.clone()));
    }
    headers
}

/// Content types are checked before they come here; the rest is our own.
fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What one call to `object_store` tells the connector below it, and learns from it.
struct Call {
    headers: HeaderMap,
    status: AtomicU16,
}

tokio::task_local! {
    static CALL: Arc<Call>;
}

async fn call<T>(headers: HeaderMap, future: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
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
struct Connector {
    client: http::Client,
    emulator: Option<String>,
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
            // An emulator stands in for the signing service too.
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
