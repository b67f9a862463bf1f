//! Why the bucket cannot be used, as a health report says it.

use super::{Error, Kind};

crate::closed_set! {
    /// Why the bucket cannot be used: the closed set of `/health/storage`.
    #[cfg_attr(feature = "openapi", schema(as = StorageReason))]
    pub enum Reason {
        /// None of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET` is set.
        NotConfigured = "not_configured",
        /// A setting cannot work: an invalid key file, the wrong region.
        Misconfigured = "misconfigured",
        /// Nothing answers there.
        Unreachable = "unreachable",
        /// No answer within the deadline.
        Timeout = "timeout",
        /// The store does not accept the credentials, or there are none.
        AuthFailed = "auth_failed",
        /// The store accepts the credentials, but they do not allow reading.
        Forbidden = "forbidden",
        /// There is no bucket of that name.
        BucketNotFound = "bucket_not_found",
        /// Anything else; the log has the cause.
        Error = "error",
    }
}

impl Reason {
    /// The reason of an error. Logs the cause, with the request's id.
    pub(super) fn logged(error: &Error) -> Self {
        let reason = match error.kind {
            Kind::NotConfigured => Self::NotConfigured,
            Kind::Misconfigured => Self::Misconfigured,
            Kind::Unreachable => Self::Unreachable,
            Kind::Timeout => Self::Timeout,
            Kind::Unauthenticated => Self::AuthFailed,
            Kind::Forbidden => Self::Forbidden,
            Kind::BucketNotFound => Self::BucketNotFound,
            _ => Self::Error,
        };
        if reason != Self::NotConfigured {
            let (reason, cause) = (reason.as_str(), error.chain());
            tracing::error!(reason, cause, "the bucket cannot be used");
        }
        reason
    }
}
