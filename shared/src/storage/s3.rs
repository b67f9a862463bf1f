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
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
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
        let whole = range.is_none();
        let get = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1))))
            .set_if_match(etag.map(str::to_owned))
            // Checksums are those of the whole object.
            .set_checksum_mode(whole.then_some(ChecksumMode::Enabled));
        let output = get.send().await.map_err(failure)?;
        let object = got(key, &output);
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
        head.send().await.map(|output| headed(key, &output)).map_err(failure)
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
        let objects = output.contents().iter().map(|listed| Object {
            key: Key::listed(listed.key().unwrap_or_default()),
            size: unsigned(listed.size()),
            etag: listed.e_tag().map(str::to_owned),
            modified: time(listed.last_modified()),
            content_type: None,
            sha256: None,
            crc32c: None,
            upload: None,
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

fn headed(key: &Key, output: &HeadObjectOutput) -> Object {
    Object {
        key: key.clone(),
        size: unsigned(output.content_length()),
        etag: output.e_tag().map(str::to_owned),
        modified: time(output.last_modified()),
        content_type: output.content_type().map(str::to_owned),
        sha256: output.metadata().and_then(|all| all.get(SHA256)?.parse().ok()),
        crc32c: None,
        upload: output.metadata().and_then(|all| all.get(UPLOAD).cloned()),
    }
}

fn got(key: &Key, output: &GetObjectOutput) -> Object {
    // `bytes 0-0/123`
    let whole = output
        .content_range()
        .and_then(|range| range.rsplit('/').next()?.parse().ok());
    Object {
        key: key.clone(),
        size: whole.unwrap_or_else(|| unsigned(output.content_length())),
        etag: output.e_tag().map(str::to_owned),
        modified: time(output.last_modified()),
        content_type: output.content_type().map(str::to_owned),
        sha256: output.metadata().and_then(|all| all.get(SHA256)?.parse().ok()),
        crc32c: None,
        upload: output.metadata().and_then(|all| all.get(UPLOAD).cloned()),
    }
}

fn unsigned(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

fn time(time: Option<&DateTime>) -> SystemTime {
    let time = time.and_then(|time| SystemTime::try_from(*time).ok());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
