//! Amazon S3, and what speaks its protocol, through `aws-sdk-s3`.

mod failure;
mod lock;
mod multipart;
mod sign;

use super::{
    Attributes, Body, Error, Key, Kind, Object, Page, http,
    objects::{SHA256, UPLOAD},
};
use crate::config;
use aws_config::{BehaviorVersion, retry::RetryConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, Region},
    primitives::{ByteStream, DateTime},
    types::ChecksumMode,
};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use bytes::Bytes;
use failure::{already_exists, failure};
use futures_util::{StreamExt, stream};
use std::{
    collections::HashMap,
    ops::Range,
    time::{Duration, SystemTime},
};

pub struct Bucket {
    client: Client,
    name: String,
    deadline: Duration,
}

impl Bucket {
    pub async fn new(name: &str, settings: &config::Storage) -> Self {
        let http = http::Client::new();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(http.clone())))
            .retry_config(RetryConfig::disabled());
        let config::S3 {
            endpoint,
            region,
            credentials,
        } = settings.s3.clone();
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some((id, secret, token)) = credentials {
            loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "environment"));
        }
        let chain = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&chain);
        if let Some(endpoint) = endpoint {
            // A server of one's own rarely has a name for each bucket.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
            deadline: settings.timeout,
        }
    }

    pub async fn put(&self, key: &Key, content: Bytes, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_content_type(given.content_type.clone())
            .set_metadata(Some(metadata(given)))
            .set_checksum_sha256(given.sha256.map(|sha256| sha256.base64()))
            .set_if_none_match((!overwrite).then(|| "*".to_owned()))
            .body(ByteStream::from(content));
        put.send().await.map(drop).map_err(already_exists)
    }

    pub async fn get(&self, key: &Key, range: Option<Range<u64>>, etag: Option<&str>) -> Result<(Object, Body), Error> {
        let is_whole = range.is_none();
        let get = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1))))
            .set_if_match(etag.map(str::to_owned))
            // Checksums are those of the whole object.
            .set_checksum_mode(is_whole.then_some(ChecksumMode::Enabled));
        let output = get.send().await.map_err(failure)?;
        let told = Told {
            size: output.content_range().and_then(whole).or(output.content_length()),
            etag: output.e_tag(),
            modified: output.last_modified(),
            content_type: output.content_type(),
            metadata: output.metadata(),
        };
        let object = told.object(key.clone());
        let chunks = stream::try_unfold(output.body, |mut body| async {
            match body.next().await.transpose() {
                Ok(chunk) => Ok(chunk.map(|chunk| (chunk, body))),
                Err(error) => {
                    let error = Error::new(Kind::Unreachable, error);
                    let corrupt = error.chain().contains("checksum");
                    Err(if corrupt {
                        Error::new(Kind::Corrupt, error)
                    } else {
                        error
                    })
                }
            }
        });
        Ok((object, chunks.boxed()))
    }

    pub async fn head(&self, key: &Key) -> Result<Object, Error> {
        let head = self.client.head_object().bucket(&self.name).key(key.as_str());
        let output = head.send().await.map_err(failure)?;
        let told = Told {
            size: output.content_length(),
            etag: output.e_tag(),
            modified: output.last_modified(),
            content_type: output.content_type(),
            metadata: output.metadata(),
        };
        Ok(told.object(key.clone()))
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let list = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .set_prefix(under.map(|key| format!("{key}/")))
            .set_continuation_token(page.map(str::to_owned))
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX));
        let output = list.send().await.map_err(failure)?;
        let objects = output.contents().iter().map(|listed| {
            let told = Told {
                size: listed.size(),
                etag: listed.e_tag(),
                modified: listed.last_modified(),
                content_type: None,
                metadata: None,
            };
            told.object(Key::listed(listed.key().unwrap_or_default()))
        });
        Ok(Page {
            objects: objects.collect(),
            next: output.next_continuation_token.clone(),
        })
    }

    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let delete = self.client.delete_object().bucket(&self.name).key(key.as_str());
        delete.send().await.map(drop).map_err(failure)
    }
}

fn metadata(given: &Attributes) -> HashMap<String, String> {
    let sha256 = given.sha256.map(|sha256| (SHA256.to_owned(), sha256.to_string()));
    sha256
        .into_iter()
        .chain([(UPLOAD.to_owned(), given.upload.clone())])
        .collect()
}

/// What an answer tells of an object.
struct Told<'a> {
    size: Option<i64>,
    etag: Option<&'a str>,
    modified: Option<&'a DateTime>,
    content_type: Option<&'a str>,
    metadata: Option<&'a HashMap<String, String>>,
}

impl Told<'_> {
    fn object(self, key: Key) -> Object {
        let kept = |name| self.metadata.and_then(|all| all.get(name));
        Object {
            key,
            size: self.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            etag: self.etag.map(str::to_owned),
            modified: time(self.modified),
            content_type: self.content_type.map(str::to_owned),
            sha256: kept(SHA256).and_then(|text| text.parse().ok()),
            crc32c: None,
            upload: kept(UPLOAD).cloned(),
        }
    }
}

/// The size of the whole, from `bytes 0-0/123`.
fn whole(content_range: &str) -> Option<i64> {
    content_range.rsplit('/').next()?.parse().ok()
}

fn time(time: Option<&DateTime>) -> SystemTime {
    let time = time.and_then(|time| SystemTime::try_from(*time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
