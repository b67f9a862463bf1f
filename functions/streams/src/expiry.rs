//! When a stream expires: a time after its last use, or a point in time (section 5.1).

use crate::{
    header::{self, STREAM_EXPIRES_AT, STREAM_TTL, value},
    problem::invalid_header,
};
use axum::http::HeaderMap;
use shared::{LAST_SECOND, problem::Problem, streams::Expiry};
use std::time::{Duration, SystemTime};

/// The expiry that a request asks for, if any.
///
/// # Errors
/// A header does not fit, or both are there.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Expiry>, Problem> {
    let ttl = header::number(headers, &STREAM_TTL, u32::MAX.into())?;
    let at = header::text(headers, &STREAM_EXPIRES_AT)?;
    match (ttl, at) {
        (Some(_), Some(_)) => Err(invalid_header(&STREAM_EXPIRES_AT, "it excludes Stream-TTL")),
        (Some(ttl), None) => Ok(Some(Expiry::Ttl(ttl as u32))),
        (None, Some(at)) => {
            let at = timestamp(at).ok_or_else(|| invalid_header(&STREAM_EXPIRES_AT, "it is not a time of RFC 3339"))?;
            Ok(Some(Expiry::At(at)))
        }
        (None, None) => Ok(None),
    }
}

/// Adds the headers that say when a stream expires.
pub fn to_headers(expiry: Expiry, headers: &mut HeaderMap) {
    match expiry {
        Expiry::Ttl(ttl) => headers.insert(STREAM_TTL, ttl.into()),
        Expiry::At(at) => headers.insert(STREAM_EXPIRES_AT, value(humantime::format_rfc3339_millis(at))),
        Expiry::Never => None,
    };
}

/// The last millisecond that RFC 3339 can write.
const LAST: i64 = LAST_SECOND * 1000 + 999;

/// A time of RFC 3339, in UTC or with an offset from it. Milliseconds are what it has at most: the rest is left out.
fn timestamp(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, minutes(offset)?)
        }
    };
    if local.ends_with('.') {
        return None;
    }
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let utc = i64::try_from(since.as_millis()).ok()? - offset * 60_000;
    Some(SystemTime::UNIX_EPOCH + Duration::from_millis(utc.min(LAST).try_into().ok()?))
}

/// The minutes of `+hh:mm` or `-hh:mm`.
fn minutes(offset: &str) -> Option<i64> {
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    let (hours, minutes): (i64, i64) = (two(hours)?, two(minutes)?);
    let total = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
    match offset.as_bytes()[0] {
        b'+' => Some(total),
        b'-' => Some(-total),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<f64> {
        let time = timestamp(text)?;
        Some(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64())
    }

    #[test]
    fn a_time_is_one_of_rfc_3339() {
        for text in [
            "",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00+1:00",
            "2030-01-01T00:00:00+01:60",
            "2030-01-01T00:00:00+24:00",
            "2030-01-01T00:00:00*01:00",
            "2030-13-01T00:00:00Z",
            "2030-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "1893456000",
            "2030-01-01T00:00:00ß0:00",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00.+01:00",
            "2030-01-01 00:00:00Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        for (text, expected) in [
            ("2030-01-01T00:00:00Z", 1_893_456_000.0),
            ("2030-01-01T00:00:00.25Z", 1_893_456_000.25),
            ("2030-01-01T02:30:00+02:30", 1_893_456_000.0),
            ("2029-12-31T22:00:00.123456789-02:00", 1_893_456_000.123),
            ("2030-01-01t00:00:00z", 1_893_456_000.0),
            ("2016-12-31T23:59:60Z", 1_483_228_799.0),
            ("9999-12-31T23:59:59-23:59", 253_402_300_799.999),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_stream_has_one_kind_of_expiry_which_its_answers_repeat() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| (name.parse().unwrap(), value.parse().unwrap());
            pairs.iter().map(pair).collect::<HeaderMap>()
        };
        let both = headers(&[("stream-ttl", "1"), ("stream-expires-at", "2030-01-01T00:00:00Z")]);
        assert!(from_headers(&both).is_err());
        for pair in [
            ("stream-ttl", "3600"),
            ("stream-expires-at", "2030-01-01T00:00:00.000Z"),
        ] {
            let sent = headers(&[pair]);
            let mut answered = HeaderMap::new();
            to_headers(from_headers(&sent).unwrap().unwrap(), &mut answered);
            assert_eq!(answered, sent);
        }
        assert!(from_headers(&HeaderMap::new()).unwrap().is_none());
    }
}
