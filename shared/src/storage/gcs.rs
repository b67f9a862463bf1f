//! Google Cloud Storage through `object_store`.

mod connector;
mod emulator;
mod failure;
mod listing;
mod sign;
mod step;

use super::{Attributes, Body, Crc32c, Error, Key, Kind, Object, ObjectId, Page, SHA256, Settings, UPLOAD};
use crate::https;
use bytes::Bytes;
use connector::{Answered, Connector, Extra, call, call_with};
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::{HeaderMap, header::HeaderValue};
use object_store::{
    Attribute, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, ObjectStore, PutMode, PutOptions, RetryConfig,
    StaticCredentialProvider,
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{ops::Range, sync::Arc};

pub struct Bucket(GoogleCloudStorage);

impl Bucket {
    pub fn new(name: &str, settings: &Settings) -> Result<Self, Error> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(name)
            .with_http_connector(Connector {
                client: https::Client::default(),
                emulator: settings.gcs_emulator.clone(),
            })
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        if let Some(path) = &settings.gcs_credentials {
            builder = builder.with_application_credentials(path);
        }
        if let Some(url) = &settings.gcs_emulator {
            builder = builder
                .with_base_url(url)
                .with_crypto_provider(Arc::new(emulator::Crypto::new(url)));
            // An emulator accepts any token; a key file or a metadata server is used if one is set, to test it.
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
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let options = PutOptions {
            mode: if overwrite { PutMode::Overwrite } else { PutMode::Create },
            attributes: store_attributes(attributes),
            ..PutOptions::default()
        };
        let put = call(self.0.put_opts(&path(key)?, content.into(), options)).await?;
        Ok(put.version)
    }

    pub async fn get(
        &self,
        object: ObjectId<'_>,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<(Object, Body), Error> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            if_match: etag.map(str::to_owned),
            version: object.version.map(str::to_owned),
            ..GetOptions::default()
        };
        let result = call(self.0.get_opts(&path(object.key)?, options)).await?;
        let found = described(object.key, &result);
        let body = result.into_stream();
        let body = body.map_err(|error| failure::failure(error, &Answered::default()));
        Ok((found, body.boxed()))
    }

    pub async fn head(&self, object: ObjectId<'_>) -> Result<Object, Error> {
        let options = GetOptions {
            head: true,
            version: object.version.map(str::to_owned),
            ..GetOptions::default()
        };
        let result = call(self.0.get_opts(&path(object.key)?, options)).await?;
        Ok(described(object.key, &result))
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let prefix = under.map(|key| format!("{key}/"));
        let options = PaginatedListOptions {
            max_keys: Some(limit),
            page_token: page.map(str::to_owned),
            ..PaginatedListOptions::default()
        };
        let listed = self.0.list_paginated(prefix.as_deref(), options);
        let (_, answered) = call_with(Extra::default(), listed).await?;
        listing::parse(&answered.listing)
    }

    pub async fn delete(&self, object: ObjectId<'_>) -> Result<(), Error> {
        let extra = Extra {
            generation: object.version.map(str::to_owned),
            ..Extra::default()
        };
        let mut deleted = self.0.delete_stream(stream::iter([Ok(path(object.key)?)]).boxed());
        let deleted = async { deleted.next().await.unwrap_or_else(|| Ok(Path::default())) };
        call_with(extra, deleted).await.map(drop)
    }

    /// Sets the attributes of the copy, and names the generation of the source: `object_store` can do neither.
    pub async fn copy(
        &self,
        from: &Object,
        to: &Key,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let mode = if overwrite {
            CopyMode::Overwrite
        } else {
            CopyMode::Create
        };
        let mut copy_headers = metadata(attributes);
        copy_headers.insert("x-goog-metadata-directive", HeaderValue::from_static("REPLACE"));
        if let Some(generation) = &from.version {
            copy_headers.insert("x-goog-copy-source-generation", header_value(generation.clone()));
        }
        let extra = Extra {
            copy_headers,
            ..Extra::default()
        };
        let (source, to) = (path(&from.key)?, path(to)?);
        let copied = self.0.copy_opts(&source, &to, CopyOptions::new().with_mode(mode));
        match call_with(extra, copied).await {
            Ok(((), answered)) => Ok(answered.generation),
            // The source was there a moment ago.
            Err(error) if error.kind == Kind::NotFound => Err(Error::new(Kind::PreconditionFailed, error)),
            Err(error) => Err(error),
        }
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        call(self.0.create_multipart(&path(key)?)).await
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
        let completed = self.0.complete_multipart(&path, &upload, parts.collect());
        call(completed).await.map(drop)
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        let (path, upload) = (path(key)?, upload.to_owned());
        call(self.0.abort_multipart(&path, &upload)).await
    }
}

/// The key, percent-encoded as one segment: a path of `object_store` cannot be `a//b` or `a/`, but an object's name
/// can. `object_store` encodes it again, which the connector undoes.
fn path(key: &Key) -> Result<Path, Error> {
    let encoded = utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string();
    Path::parse(encoded).map_err(|error| Error::new(Kind::Other, error))
}

fn store_attributes(attributes: &Attributes) -> object_store::Attributes {
    let mut stored = object_store::Attributes::new();
    stored.insert(Attribute::Metadata(UPLOAD.into()), attributes.upload.clone().into());
    if let Some(sha256) = attributes.sha256 {
        stored.insert(Attribute::Metadata(SHA256.into()), sha256.to_string().into());
    }
    if let Some(content_type) = &attributes.content_type {
        stored.insert(Attribute::ContentType, content_type.clone().into());
    }
    stored
}

fn described(key: &Key, result: &GetResult) -> Object {
    let attribute = |name: Attribute| result.attributes.get(&name).map(|value| value.to_string());
    Object {
        key: key.clone(),
        version: result.meta.version.clone(),
        size: result.meta.size,
        etag: result.meta.e_tag.clone(),
        modified: result.meta.last_modified.into(),
        content_type: attribute(Attribute::ContentType),
        sha256: attribute(Attribute::Metadata(SHA256.into())).and_then(|text| text.parse().ok()),
        upload: attribute(Attribute::Metadata(UPLOAD.into())),
        crc32c: result.extensions.get::<Crc32c>().copied(),
    }
}

/// Attributes as headers of GCS: <https://cloud.google.com/storage/docs/xml-api/reference-headers>.
fn metadata(attributes: &Attributes) -> HeaderMap {
    let sha256 = attributes.sha256.map(|sha256| (SHA256, sha256.to_string()));
    let stored = [(UPLOAD, attributes.upload.clone())].into_iter().chain(sha256);
    let mut headers: HeaderMap = stored
        .filter_map(|(name, value)| Some((format!("x-goog-meta-{name}").parse().ok()?, header_value(value))))
        .collect();
    if let Some(content_type) = &attributes.content_type {
        headers.insert(hyper::header::CONTENT_TYPE, header_value(content_type.clone()));
    }
    headers
}

/// Does not fail: [`Attributes::new`] has checked the content type, and the rest are numbers and identifiers.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
