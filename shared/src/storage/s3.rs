//! Amazon S3, and servers that speak its protocol, through `aws-sdk-s3`.

mod connect;
mod connector;
mod failure;
mod lock;
mod multipart;
mod object;
mod sign;

use super::{Attributes, Body, Error, Key, Kind, Object, ObjectId, Page};
use aws_sdk_s3::{Client, operation::head_object::HeadObjectOutput, primitives::ByteStream, types::ChecksumMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use failure::{already_exists, failure};
use futures_util::{StreamExt, stream};
use object::{ObjectHeaders, metadata, time, whole};
use std::{ops::Range, time::Duration};

pub struct Bucket {
    client: Client,
    name: String,
    deadline: Duration,
}

impl Bucket {
    pub async fn put(
        &self,
        key: &Key,
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        if !overwrite {
            self.refuse_deleted(key).await?;
        }
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_content_type(attributes.content_type.clone())
            .set_metadata(Some(metadata(attributes)))
            .set_checksum_sha256(attributes.sha256.map(|sha256| sha256.base64()))
            .set_if_none_match((!overwrite).then(|| "*".to_owned()))
            .body(ByteStream::from(content));
        let output = put.send().await.map_err(already_exists)?;
        Ok(output.version_id)
    }

    /// A delete marker satisfies `If-None-Match: *`, but hides versions that are still there: a put would replace an
    /// object that a hold protects. Credentials that may not read do not see the marker.
    async fn refuse_deleted(&self, key: &Key) -> Result<(), Error> {
        let head = self.client.head_object().bucket(&self.name).key(key.as_str());
        let Err(error) = head.send().await else {
            return Ok(());
        };
        let headers = error.raw_response().map(HttpResponse::headers);
        if headers.and_then(|headers| headers.get("x-amz-delete-marker")) == Some("true") {
            return Err(Error::new(
                Kind::AlreadyExists,
                "its versions are behind a delete marker",
            ));
        }
        let error = failure(error);
        if error.is_transient() { Err(error) } else { Ok(()) }
    }

    pub async fn get(
        &self,
        object: ObjectId<'_>,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<(Object, Body), Error> {
        addressable(object)?;
        let (is_whole, start) = (range.is_none(), range.as_ref().map_or(0, |range| range.start));
        let get = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned))
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1))))
            .set_if_match(etag.map(str::to_owned))
            // The store's checksum is that of the whole object.
            .set_checksum_mode(is_whole.then_some(ChecksumMode::Enabled));
        let output = get.send().await.map_err(failure)?;
        if !output
            .content_range()
            .is_none_or(|range| range.starts_with(&format!("bytes {start}-")))
        {
            return Err(Error::new(Kind::Corrupt, "not the range that was requested"));
        }
        let headers = ObjectHeaders {
            version: output.version_id(),
            size: output.content_range().and_then(whole).or(output.content_length()),
            etag: output.e_tag(),
            modified: output.last_modified(),
            content_type: output.content_type(),
            metadata: output.metadata(),
        };
        let object = headers.object(object.key.clone());
        Ok((object, content(output.body)))
    }

    pub async fn head(&self, object: ObjectId<'_>) -> Result<Object, Error> {
        let output = self.head_object(object).await?;
        let headers = ObjectHeaders {
            version: output.version_id(),
            size: output.content_length(),
            etag: output.e_tag(),
            modified: output.last_modified(),
            content_type: output.content_type(),
            metadata: output.metadata(),
        };
        Ok(headers.object(object.key.clone()))
    }

    async fn head_object(&self, object: ObjectId<'_>) -> Result<HeadObjectOutput, Error> {
        addressable(object)?;
        let head = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned));
        head.send().await.map_err(failure)
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
            let headers = ObjectHeaders {
                version: None,
                size: listed.size(),
                etag: listed.e_tag(),
                modified: listed.last_modified(),
                content_type: None,
                metadata: None,
            };
            headers.object(Key::listed(listed.key().unwrap_or_default()))
        });
        Ok(Page {
            objects: objects.collect(),
            next: output.next_continuation_token.clone(),
        })
    }

    pub async fn delete(&self, object: ObjectId<'_>) -> Result<(), Error> {
        addressable(object)?;
        let delete = self
            .client
            .delete_object()
            .bucket(&self.name)
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned));
        delete.send().await.map(drop).map_err(failure)
    }
}

/// The chunks of an object. The SDK verifies the checksum of a whole object as it is read.
fn content(body: ByteStream) -> Body {
    let chunks = stream::try_unfold(body, |mut body| async {
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
    chunks.boxed()
}

/// Other programs can put objects under keys that the SDK refuses.
fn addressable(object: ObjectId<'_>) -> Result<(), Error> {
    match object.key.as_str().trim() {
        "" => Err(Error::new(
            Kind::Unsupported,
            "the SDK takes no key of white space alone",
        )),
        _ => Ok(()),
    }
}
