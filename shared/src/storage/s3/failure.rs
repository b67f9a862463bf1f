//! Maps errors of the SDK to kinds of errors.

use crate::{
    causes::causes,
    storage::{Error, Kind},
};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A create-only put that lost.
pub fn already_exists<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = failure(error);
    match error.kind {
        Kind::PreconditionFailed => Error::new(Kind::AlreadyExists, error),
        _ => error,
    }
}

/// Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
pub fn failure<E>(error: SdkError<E, HttpResponse>) -> Error
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
            // Another put of this key is under way.
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
        // The request was not sent: no credentials were found, or the URL is invalid.
        SdkError::DispatchFailure(_) if causes(&error).any(|cause| cause.is::<CredentialsError>()) => {
            Kind::Unauthenticated
        }
        SdkError::DispatchFailure(_) => Kind::Misconfigured,
        SdkError::TimeoutError(_) => Kind::Timeout,
        SdkError::ConstructionFailure(_) => Kind::Misconfigured,
        SdkError::ResponseError(_) => Kind::Unreachable,
        _ => Kind::Other,
    };
    Error::new(kind, error)
}
