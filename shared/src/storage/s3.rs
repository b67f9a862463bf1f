//! Amazon S3, and what speaks its protocol, through `aws-sdk-s3`.

use super::{
    Attributes, Body, Crc32c, Error, Hold, Key, Kind, Object, Page, Presigned, Retention, SignPut, http,
    objects::{SHA256, UPLOAD},
    retry::retry,
};
use crate::config;
use aws_config::{BehaviorVersion, retry::RetryConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, Region},
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
    presigning::{PresignedRequest, PresigningConfig},
    primitives::{ByteStream, DateTime},
    types::{
        ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectLockLegalHold,
        ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode,
    },
};
use aws_smithy_runtime_api::client::{
    http::{SharedHttpConnector, http_client_fn},
    orchestrator::HttpResponse,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    collections::HashMap,
    ops::Range,
    time::{Duration, SystemTime},
};

/// What one request copies. S3 takes 5 GiB at most, in the time of a request.
const COPIED_AT_ONCE: u64 = 256 << 20;
const COPIES_IN_FLIGHT: usize = 4;

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

    /// As a multipart upload whose parts S3 takes from the source: of any size, and create-only where every server that
    /// knows create-only at all takes it, which is not so for `CopyObject`. Each of its requests has a deadline of its own.
    pub async fn copy(&self, from: &Object, to: &Key, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        if from.size == 0 {
            return retry(self.deadline, || self.put(to, Bytes::new(), given, overwrite)).await;
        }
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(to.as_str())
            .set_content_type(given.content_type.clone())
            .set_metadata(Some(metadata(given)));
        let created = retry(self.deadline, || create.clone().send().map_err(failure)).await?;
        let upload = created.upload_id().unwrap_or_default();
        let copied = self.copy_parts(from, to, upload, overwrite).await;
        if copied.is_err() {
            let _ = retry(self.deadline, || self.abort(to, upload)).await;
        }
        copied
    }

    async fn copy_parts(&self, from: &Object, to: &Key, upload: &str, overwrite: bool) -> Result<(), Error> {
        let source = utf8_percent_encode(from.key.as_str(), NON_ALPHANUMERIC);
        let source = format!("{}/{source}", self.name);
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

    /// The part's ETag and CRC32C, which S3 wants to see again at the end.
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
        self.complete_with(key, upload, parts.collect(), true).await
    }

    async fn complete_with(
        &self,
        key: &Key,
        upload: &str,
        parts: Vec<CompletedPart>,
        overwrite: bool,
    ) -> Result<(), Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key.as_str())
            .upload_id(upload)
            .multipart_upload(parts)
            .set_if_none_match((!overwrite).then(|| "*".to_owned()));
        complete.send().await.map(drop).map_err(already_exists)
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

    pub async fn sign_get(
        &self,
        key: &Key,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        let get = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_response_content_disposition(disposition);
        get.presigned(expires(lifetime)?).await.map(presigned).map_err(failure)
    }

    pub async fn sign_put(&self, key: &Key, put: &SignPut, given: &Attributes) -> Result<Presigned, Error> {
        let length = i64::try_from(put.length).map_err(|error| Error::new(Kind::Other, error))?;
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_content_type(given.content_type.clone())
            .content_length(length)
            .set_metadata(Some(metadata(given)))
            .set_checksum_sha256(given.sha256.map(|sha256| sha256.base64()))
            // S3 takes one checksum.
            .set_checksum_crc32_c(
                put.crc32c
                    .filter(|_| given.sha256.is_none())
                    .map(|crc32c| crc32c.base64()),
            )
            .set_if_none_match((!put.overwrite).then(|| "*".to_owned()));
        let signed = request.presigned(expires(put.lifetime)?).await;
        signed.map(presigned).map_err(failure)
    }

    pub async fn set_legal_hold(&self, key: &Key, on: bool) -> Result<(), Error> {
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        let hold = self
            .client
            .put_object_legal_hold()
            .bucket(&self.name)
            .key(key.as_str())
            .legal_hold(ObjectLockLegalHold::builder().status(status).build());
        hold.send().await.map(drop).map_err(failure)
    }

    pub async fn set_retention(&self, key: &Key, retention: Retention) -> Result<(), Error> {
        let (mode, until) = match retention {
            Retention::Governance(until) => (ObjectLockRetentionMode::Governance, until),
            Retention::Compliance(until) => (ObjectLockRetentionMode::Compliance, until),
        };
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(DateTime::from(until));
        let put = self
            .client
            .put_object_retention()
            .bucket(&self.name)
            .key(key.as_str())
            .retention(retention.build());
        put.send().await.map(drop).map_err(failure)
    }

    pub async fn hold(&self, key: &Key) -> Result<Hold, Error> {
        let head = self.client.head_object().bucket(&self.name).key(key.as_str());
        let output = head.send().await.map_err(failure)?;
        let until = output.object_lock_retain_until_date().map(|until| time(Some(until)));
        Ok(Hold {
            legal: output.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
            retention: until.and_then(|until| match output.object_lock_mode()?.as_str() {
                "GOVERNANCE" => Some(Retention::Governance(until)),
                "COMPLIANCE" => Some(Retention::Compliance(until)),
                _ => None,
            }),
        })
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

/// S3 counts from 1, to 10,000.
fn part_number(number: usize) -> i32 {
    i32::try_from(number + 1).unwrap_or(i32::MAX)
}

fn expires(lifetime: Duration) -> Result<PresigningConfig, Error> {
    PresigningConfig::expires_in(lifetime).map_err(|error| Error::new(Kind::Other, error))
}

fn presigned(request: PresignedRequest) -> Presigned {
    let headers = request.headers();
    Presigned {
        method: request.method().to_owned(),
        url: request.uri().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// A create-only put that lost.
fn already_exists<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = failure(error);
    match error.kind {
        Kind::PreconditionFailed => Error::new(Kind::AlreadyExists, error),
        _ => error,
    }
}

/// The one place where errors of the SDK meet the closed set.
/// Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
fn failure<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::ServiceError(refused) => match refused.err().code().unwrap_or_default() {
            "NoSuchKey" | "NotFound" | "NoSuchUpload" => Kind::NotFound,
            "NoSuchBucket" => Kind::BucketNotFound,
            "PreconditionFailed" => Kind::PreconditionFailed,
            "InvalidRange" => Kind::InvalidRange,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => Kind::Forbidden,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed" => Kind::Unauthenticated,
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
                Kind::Misconfigured
            }
            "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
                Kind::Corrupt
            }
            "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests" | "RequestLimitExceeded" => {
                Kind::Throttled
            }
            // Another put is at this key just now.
            "ConditionalRequestConflict" | "OperationAborted" => Kind::Throttled,
            "RequestTimeout" => Kind::Timeout,
            "NotImplemented" | "MethodNotAllowed" | "InvalidRequest" | "ObjectLockConfigurationNotFoundError" => {
                Kind::Unsupported
            }
            _ => match refused.raw().status().as_u16() {
                403 => Kind::Forbidden,
                404 => Kind::NotFound,
                408 => Kind::Timeout,
                412 => Kind::PreconditionFailed,
                416 => Kind::InvalidRange,
                429 => Kind::Throttled,
                500..600 => Kind::Unreachable,
                _ => Kind::Other,
            },
        },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Kind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_io() => Kind::Unreachable,
        // The request never left: the credential chain came to its end.
        SdkError::DispatchFailure(_) => Kind::Unauthenticated,
        SdkError::TimeoutError(_) => Kind::Timeout,
        SdkError::ConstructionFailure(_) => Kind::Misconfigured,
        SdkError::ResponseError(_) => Kind::Unreachable,
        _ => Kind::Other,
    };
    Error::new(kind, error)
}
