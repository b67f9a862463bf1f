//! Multipart uploads: of a stream, and of parts that S3 copies from another object.

use super::{Bucket, already_exists, failure, metadata};
use crate::storage::{Attributes, Crc32c, Error, Key, Object, retry::retry};
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Bytes that one request copies. S3 takes up to 5 GiB, but not within the deadline of a request.
const COPIED_AT_ONCE: u64 = 256 << 20;
const COPIES_IN_FLIGHT: usize = 4;

impl Bucket {
    /// A multipart upload whose parts S3 copies from the source. It takes any size, and every server that supports
    /// create-only puts supports it here; `CopyObject` has neither. Each request has its own deadline.
    pub async fn copy(
        &self,
        (from, version): (&Object, Option<&str>),
        to: &Key,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        if from.size == 0 {
            return retry(self.deadline, || self.put(to, Bytes::new(), attributes, overwrite)).await;
        }
        if !overwrite {
            retry(self.deadline, || self.refuse_deleted(to)).await?;
        }
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(to.as_str())
            .set_content_type(attributes.content_type.clone())
            .set_metadata(Some(metadata(attributes)));
        let created = retry(self.deadline, || create.clone().send().map_err(failure)).await?;
        let upload = created.upload_id().unwrap_or_default();
        let copied = self.copy_parts((from, version), to, upload, overwrite).await;
        if copied.is_err() {
            let _ = retry(self.deadline, || self.abort(to, upload)).await;
        }
        copied
    }

    /// Copies the content of `from`; fails if the key has other content by now.
    async fn copy_parts(
        &self,
        (from, version): (&Object, Option<&str>),
        to: &Key,
        upload: &str,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let mut source = format!("{}/{}", self.name, encoded(from.key.as_str()));
        if let Some(version) = version {
            source += &format!("?versionId={}", encoded(version));
        }
        let starts = (0..from.size).step_by(COPIED_AT_ONCE as usize).zip(1..);
        let parts = starts.map(|(start, number)| {
            let end = (start + COPIED_AT_ONCE).min(from.size) - 1;
            let copy = self
                .client
                .upload_part_copy()
                .bucket(&self.name)
                .key(to.as_str())
                .upload_id(upload)
                .part_number(number)
                .copy_source(&source)
                .set_copy_source_if_match(from.etag.clone())
                .copy_source_range(format!("bytes={start}-{end}"));
            async move {
                let copied = retry(self.deadline, || copy.clone().send().map_err(failure)).await?;
                let etag = copied
                    .copy_part_result()
                    .and_then(|part| part.e_tag())
                    .unwrap_or_default();
                Ok::<_, Error>(CompletedPart::builder().part_number(number).e_tag(etag).build())
            }
        });
        let parts: Vec<CompletedPart> = stream::iter(parts).buffered(COPIES_IN_FLIGHT).try_collect().await?;
        retry(self.deadline, || {
            self.complete_with(to, upload, parts.clone(), overwrite)
        })
        .await
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(key.as_str())
            .checksum_algorithm(ChecksumAlgorithm::Crc32C);
        let created = create.send().await.map_err(failure)?;
        Ok(created.upload_id().unwrap_or_default().to_owned())
    }

    /// Returns the part's ETag and CRC32C, which the request that completes the upload repeats.
    pub async fn part(&self, key: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        let crc32c = Crc32c::of(&content).base64();
        let put = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key.as_str())
            .upload_id(upload)
            .part_number(part_number(number))
            .checksum_crc32_c(&crc32c)
            .body(ByteStream::from(content));
        let output = put.send().await.map_err(failure)?;
        Ok(format!("{} {crc32c}", output.e_tag().unwrap_or_default()))
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        let parts = parts.iter().enumerate().map(|(number, part)| {
            let (etag, crc32c) = part.rsplit_once(' ').unwrap_or((part, ""));
            CompletedPart::builder()
                .part_number(part_number(number))
                .e_tag(etag)
                .checksum_crc32_c(crc32c)
                .build()
        });
        self.complete_with(key, upload, parts.collect(), true).await.map(drop)
    }

    async fn complete_with(
        &self,
        key: &Key,
        upload: &str,
        parts: Vec<CompletedPart>,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key.as_str())
            .upload_id(upload)
            .multipart_upload(parts)
            .set_if_none_match((!overwrite).then(|| "*".to_owned()));
        let output = complete.send().await.map_err(already_exists)?;
        Ok(output.version_id)
    }

    pub async fn abort(&self, key: &Key, upload: &str) -> Result<(), Error> {
        let abort = self
            .client
            .abort_multipart_upload()
            .bucket(&self.name)
            .key(key.as_str())
            .upload_id(upload);
        abort.send().await.map(drop).map_err(failure)
    }
}

/// S3 counts parts from 1 to 10,000.
fn part_number(number: usize) -> i32 {
    i32::try_from(number + 1).unwrap_or(i32::MAX)
}
