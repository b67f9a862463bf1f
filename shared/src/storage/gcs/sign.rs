//! Signed URLs (V4), with a key file or by IAM's signBlob.

use super::{
    Bucket,
    connector::{HASH, call},
    header_value, metadata,
};
use crate::storage::{Attributes, Error, Key, Kind, ObjectId, Presigned, SignPut};
use hyper::{Method, header::HeaderValue};
use object_store::{
    path::Path,
    signer::{SignedUrlOptions, Signer},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

const NO_SIGNER: &str = "a signed URL needs a service account: a key file in GOOGLE_APPLICATION_CREDENTIALS, or a metadata \
                         server whose account may iam.serviceAccounts.signBlob";

/// All characters but the unreserved ones of RFC 3986.
const UNRESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Bucket {
    pub async fn sign_get(
        &self,
        object: ObjectId<'_>,
        lifetime: Duration,
        disposition: Option<String>,
    ) -> Result<Presigned, Error> {
        let generation = object.version.map(|version| ("generation", version.to_owned()));
        let disposition = disposition.map(|value| ("response-content-disposition", value));
        let options = SignedUrlOptions::new().with_query(generation.into_iter().chain(disposition));
        self.sign(Method::GET, object.key, lifetime, options).await
    }

    /// GCS enforces the length and the CRC32C. The SHA-256 is stored with the object, and every read verifies it.
    pub async fn sign_put(&self, key: &Key, put: &SignPut, attributes: &Attributes) -> Result<Presigned, Error> {
        let mut headers = metadata(attributes);
        let length = put.length.to_string();
        headers.insert(
            "x-goog-content-length-range",
            header_value(format!("{length},{length}")),
        );
        if let Some(crc32c) = put.crc32c {
            headers.insert(HASH, header_value(format!("crc32c={}", crc32c.base64())));
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
        // Clients normalise URLs: `a/../b` would be another object.
        key.as_str().parse::<Key>()?;
        // Encoded as in the URL, so that a `?` in a key does not begin a query.
        let encoded: Vec<String> = key
            .as_str()
            .split('/')
            .map(|segment| utf8_percent_encode(segment, UNRESERVED).to_string())
            .collect();
        let path = Path::parse(encoded.join("/")).map_err(|error| Error::new(Kind::Other, error))?;
        let signed = self.0.signed_url_opts(method.clone(), &path, lifetime, &options);
        let url = call(signed).await.map_err(|error| {
            let no_signer = matches!(error.kind, Kind::Other | Kind::NotFound);
            let kind = if no_signer { Kind::Unauthenticated } else { error.kind };
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
