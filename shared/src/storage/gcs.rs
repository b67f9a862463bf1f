//! Google Cloud Storage through `object_store`.

mod connector;
mod sign;

use super::{
    Attributes, Body, Error, Key, Kind, Object, Page, http,
    objects::{self, SHA256, UPLOAD, attributes, body, described, options, path},
};
use crate::config;
use bytes::Bytes;
use connector::{Connector, call};
use futures_util::{StreamExt, stream};
use hyper::{HeaderMap, header::HeaderValue};
use object_store::{
    CopyMode, CopyOptions, ObjectStore, PutMode, PutOptions, RetryConfig, StaticCredentialProvider,
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::{ops::Range, sync::Arc};

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

    pub async fn put(&self, key: &Key, content: Bytes, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        let options = PutOptions {
            mode: if overwrite { PutMode::Overwrite } else { PutMode::Create },
            attributes: attributes(given),
            ..PutOptions::default()
        };
        let key = path(key)?;
        call(self.0.put_opts(&key, content.into(), options)).await.map(drop)
    }

    pub async fn get(&self, key: &Key, range: Option<Range<u64>>, etag: Option<&str>) -> Result<(Object, Body), Error> {
        let path = path(key)?;
        let result = call(self.0.get_opts(&path, options(range, etag))).await?;
        Ok((described(key, &result), body(result)))
    }

    pub async fn head(&self, key: &Key) -> Result<Object, Error> {
        let path = path(key)?;
        let mut head = options(None, None);
        head.head = true;
        let result = call(self.0.get_opts(&path, head)).await?;
        Ok(described(key, &result))
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let prefix = under.map(|key| format!("{key}/"));
        let options = PaginatedListOptions {
            max_keys: Some(limit),
            page_token: page.map(str::to_owned),
            ..PaginatedListOptions::default()
        };
        let listed = call(self.0.list_paginated(prefix.as_deref(), options)).await?;
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
        call(deleted).await.map(drop)
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
        let copied = self.0.copy_opts(&from, &to, CopyOptions::new().with_mode(mode));
        connector::copy(headers, copied).await
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        let path = path(key)?;
        call(self.0.create_multipart(&path)).await
    }

    pub async fn part(&self, key: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        let part = call(self.0.put_part(&path, &upload, number, content.into()));
        Ok(part.await?.content_id)
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        let parts = parts.iter().map(|part| PartId {
            content_id: part.clone(),
        });
        call(self.0.complete_multipart(&path, &upload, parts.collect()))
            .await
            .map(drop)
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        call(self.0.abort_multipart(&path, &upload)).await
    }
}

/// As GCS takes attributes: <https://cloud.google.com/storage/docs/xml-api/reference-headers>.
fn metadata(given: &Attributes) -> HeaderMap {
    let sha256 = given.sha256.map(|sha256| (SHA256, sha256.to_string()));
    let kept = [(UPLOAD, given.upload.clone())].into_iter().chain(sha256);
    let mut headers: HeaderMap = kept
        .filter_map(|(name, value)| Some((format!("x-goog-meta-{name}").parse().ok()?, text(value))))
        .collect();
    if let Some(content_type) = &given.content_type {
        headers.insert(hyper::header::CONTENT_TYPE, text(content_type.clone()));
    }
    headers
}

/// Content types are checked before they come here; the rest is our own.
fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
