//! Signed URLs, as the SDK signs them: with no request.

use super::{Bucket, failure, metadata};
use crate::storage::{Attributes, Error, Key, Kind, ObjectId, Presigned, SignPut};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use std::time::Duration;

impl Bucket {
    pub async fn sign_get(
        &self,
        object: ObjectId<'_>,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        let get = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned))
            .set_response_content_disposition(disposition);
        get.presigned(expires(lifetime)?).await.map(presigned).map_err(failure)
    }

    pub async fn sign_put(&self, key: &Key, put: &SignPut, attributes: &Attributes) -> Result<Presigned, Error> {
        let length = i64::try_from(put.length).map_err(|error| Error::new(Kind::Other, error))?;
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.as_str())
            .set_content_type(attributes.content_type.clone())
            .content_length(length)
            .set_metadata(Some(metadata(attributes)))
            .set_checksum_sha256(attributes.sha256.map(|sha256| sha256.base64()))
            // S3 takes one checksum.
            .set_checksum_crc32_c(
                put.crc32c
                    .filter(|_| attributes.sha256.is_none())
                    .map(|crc32c| crc32c.base64()),
            )
            .set_if_none_match((!put.overwrite).then(|| "*".to_owned()));
        let signed = request.presigned(expires(put.lifetime)?).await;
        signed.map(presigned).map_err(failure)
    }
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
