//! Deletion of what has ended or is too old, in steps, by a job.

use crate::{config::Env, database::Transaction};
use std::time::Duration;

/// Deletes up to about `limit` rows of streams that were deleted or have expired, and returns how many: fewer than `limit` when
/// nothing is left but what another transaction has locked.
///
/// # Errors
/// Of the query.
pub async fn delete_ended(transaction: &mut Transaction, limit: u32) -> sqlx::Result<u64> {
    let swept = sqlx::query_scalar!(r#"SELECT streams.sweep($1) AS "swept!""#, i64::from(limit));
    Ok(swept.fetch_one(transaction).await?.unsigned_abs())
}

/// Which records are too old.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retention {
    /// How the paths of the streams begin.
    prefix: String,
    keep: Keep,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keep {
    /// Records of this age, and younger ones.
    Age(Duration),
    /// The last bytes.
    Bytes(i64),
}

impl Retention {
    /// Reads `STREAM_RETENTION`: prefixes of paths, each with an age or a size, such as `logs/=7d, chats/=100MiB`. Without it,
    /// records are deleted with their stream only.
    pub fn from_env(env: &Env) -> Vec<Self> {
        let expected = "prefixes of paths with an age or a size each, such as logs/=7d, chats/=100MiB";
        env.parse("STREAM_RETENTION", Vec::new(), expected, |text| {
            text.split(',').map(|rule| Self::parse(rule.trim())).collect()
        })
    }

    fn parse(rule: &str) -> Option<Self> {
        let (prefix, keep) = rule.rsplit_once('=')?;
        let keep = bytes(keep).map(Keep::Bytes).or_else(|| {
            let age = humantime::parse_duration(keep).ok()?;
            (age >= Duration::from_secs(1)).then_some(Keep::Age(age))
        })?;
        Some(Self {
            prefix: prefix.to_owned(),
            keep,
        })
    }

    /// Deletes up to `limit` records that are too old, in streams after the stream `after`. Returns how many, and after which
    /// stream to go on, unless that was the last one. Leaves out streams that another transaction has locked for a second, and those
    /// that have forks.
    ///
    /// # Errors
    /// Of the query.
    pub async fn delete_old(
        &self,
        transaction: &mut Transaction,
        after: i64,
        limit: u32,
    ) -> sqlx::Result<(u64, Option<i64>)> {
        let (age, bytes) = match self.keep {
            Keep::Age(age) => (Some(age.as_secs_f64()), None),
            Keep::Bytes(bytes) => (None, Some(bytes)),
        };
        let limit = i64::from(limit);
        let done = sqlx::query!(
            r#"SELECT deleted AS "deleted!", after FROM streams.retain($1, make_interval(secs => $2), $3, $4, $5, $5)"#,
            self.prefix,
            age,
            bytes,
            after,
            limit,
        );
        let done = done.fetch_one(transaction).await?;
        Ok((done.deleted.unsigned_abs(), done.after))
    }
}

/// A size such as `100MiB`.
fn bytes(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let number: u32 = number.trim_end().parse().ok().filter(|number| *number > 0)?;
    i64::from(number).checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_prefix_with_an_age_or_a_size() {
        let rule = |text| Retention::parse(text).map(|rule| (rule.prefix, rule.keep));
        let age = |prefix: &str, seconds| Some((prefix.to_owned(), Keep::Age(Duration::from_secs(seconds))));
        let size = |prefix: &str, bytes| Some((prefix.to_owned(), Keep::Bytes(bytes)));
        assert_eq!(rule("logs/=7d"), age("logs/", 7 * 24 * 60 * 60));
        assert_eq!(rule("a=b/=1s"), age("a=b/", 1));
        assert_eq!(rule("=100 MiB"), size("", 100 << 20));
        assert_eq!(rule("x=512B"), size("x", 512));
        for invalid in [
            "logs/",
            "logs/=",
            "logs/=0B",
            "logs/=-1B",
            "logs/=1",
            "logs/=1ms",
            "logs/=5000000000B",
        ] {
            assert_eq!(rule(invalid), None, "{invalid}");
        }
    }
}
