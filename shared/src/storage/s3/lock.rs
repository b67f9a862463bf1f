//! Object Lock: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>.

use super::{Bucket, failure, time};
use crate::storage::{Error, Hold, ObjectId, Retention};
use aws_sdk_s3::{
    primitives::DateTime,
    types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode},
};

impl Bucket {
    pub async fn set_legal_hold(&self, object: ObjectId<'_>, on: bool) -> Result<(), Error> {
        let status = if on {
            ObjectLockLegalHoldStatus::On
        } else {
            ObjectLockLegalHoldStatus::Off
        };
        let hold = self
            .client
            .put_object_legal_hold()
            .bucket(&self.name)
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned))
            .legal_hold(ObjectLockLegalHold::builder().status(status).build());
        hold.send().await.map(drop).map_err(failure)
    }

    pub async fn set_retention(&self, object: ObjectId<'_>, retention: Retention) -> Result<(), Error> {
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
            .key(object.key.as_str())
            .set_version_id(object.version.map(str::to_owned))
            .retention(retention.build());
        put.send().await.map(drop).map_err(failure)
    }

    pub async fn hold(&self, object: ObjectId<'_>) -> Result<Hold, Error> {
        let output = self.head_object(object).await?;
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
