//! Amazon S3, and what speaks its protocol, through `aws-sdk-s3`.

use super::{Reason, SENTINEL_KEY, http};
use crate::config;
use aws_config::{BehaviorVersion, retry::RetryConfig};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::http::http_client_fn;

pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    pub async fn new(name: &str, settings: &config::Storage) -> Self {
        let http = http::Client::new();
        let chain = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client_fn(move |_, _| {
                aws_smithy_runtime_api::client::http::SharedHttpConnector::new(http.clone())
            }))
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        // An endpoint of one's own rarely has a name for each bucket.
        let config = aws_sdk_s3::config::Builder::from(&chain).force_path_style(settings.s3_endpoint.is_some());
        Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
        }
    }

    pub async fn probe(&self) -> Result<(), Reason> {
        let first_byte = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(SENTINEL_KEY)
            .range("bytes=0-0");
        match first_byte.send().await {
            Ok(_) => Ok(()),
            Err(error) => answer(&error),
        }
    }
}

/// A missing key, or one without a first byte, was looked up all the same.
/// Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
fn answer<E, R>(error: &SdkError<E, R>) -> Result<(), Reason>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let reason = match error {
        SdkError::ServiceError(refused) => match refused.err().code().unwrap_or_default() {
            "NoSuchKey" | "InvalidRange" => return Ok(()),
            "NoSuchBucket" => Reason::BucketNotFound,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Reason::Forbidden,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed" => Reason::AuthFailed,
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
                Reason::Misconfigured
            }
            _ => Reason::Error,
        },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Reason::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_io() => Reason::Unreachable,
        // The request never left: the credential chain came to its end.
        SdkError::DispatchFailure(_) => Reason::AuthFailed,
        SdkError::TimeoutError(_) => Reason::Timeout,
        SdkError::ConstructionFailure(_) => Reason::Misconfigured,
        _ => Reason::Error,
    };
    Err(reason.because(error))
}
