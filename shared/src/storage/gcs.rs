//! Google Cloud Storage through `object_store`.

use super::{Reason, SENTINEL_KEY, http};
use crate::config;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, RetryConfig,
    client::{HttpError, HttpErrorKind},
    gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder},
};

pub struct Bucket(GoogleCloudStorage);

impl Bucket {
    pub fn new(name: &str, settings: &config::Storage) -> Result<Self, Reason> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(name)
            .with_http_connector(http::Client::new())
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        if let Some(path) = &settings.gcs_credentials {
            builder = builder.with_application_credentials(path);
        }
        if let Some(host) = &settings.gcs_emulator {
            let scheme = if host.contains("://") { "" } else { "http://" };
            builder = builder
                .with_base_url(&format!("{scheme}{host}"))
                .with_skip_signature(true);
        }
        builder
            .build()
            .map(Self)
            .map_err(|error| Reason::Misconfigured.because(&error))
    }

    pub async fn probe(&self) -> Result<(), Reason> {
        let first_byte = GetOptions {
            range: Some(GetRange::Bounded(0..1)),
            ..GetOptions::default()
        };
        match self.0.get_opts(&SENTINEL_KEY.into(), first_byte).await {
            Ok(_) => Ok(()),
            Err(error) => answer(&error),
        }
    }
}

/// A missing key, or one without a first byte, was looked up all the same. Only the body of the answer tells a missing
/// key from a missing bucket: <https://cloud.google.com/storage/docs/xml-api/reference-status>.
fn answer(error: &Error) -> Result<(), Reason> {
    let chain = || std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let says = |text| chain().any(|error| error.to_string().contains(text));
    let reason = match error {
        Error::NotFound { .. } if says("NoSuchBucket") => Reason::BucketNotFound,
        Error::NotFound { .. } => return Ok(()),
        _ if says("InvalidRange") => return Ok(()),
        Error::PermissionDenied { .. } => Reason::Forbidden,
        Error::Unauthenticated { .. } => Reason::AuthFailed,
        // No token: a revoked key, or no metadata server because this is not Google Cloud.
        _ if says("token") => Reason::AuthFailed,
        _ => match chain()
            .find_map(|error| error.downcast_ref::<HttpError>())
            .map(HttpError::kind)
        {
            Some(HttpErrorKind::Timeout) => Reason::Timeout,
            Some(HttpErrorKind::Connect | HttpErrorKind::Interrupted | HttpErrorKind::Request) => Reason::Unreachable,
            _ => Reason::Error,
        },
    };
    Err(reason.because(error))
}
