//! Cursors: what makes the URLs of live readers the same for a while, so that caches may answer many at once, and different
//! after that, so that no cache answers for ever (section 10.1).

use shared::random;
use std::time::{Duration, SystemTime};

/// 2024-10-09T00:00:00Z, from which intervals are counted.
const EPOCH: Duration = Duration::from_secs(1_728_432_000);
const INTERVAL: Duration = Duration::from_secs(20);
/// How far a cursor moves on, in intervals, when the client has the present one already: up to an hour.
const MOST: u64 = 180;
/// Larger ones come from no server: they are ignored, so that adding to one cannot overflow.
const LARGEST: u64 = 1 << 53;

/// The cursor of an answer at the time `now` to a client that has sent `seen`. It is larger than `seen`, whatever the clock
/// says.
pub fn next(seen: Option<&str>, now: SystemTime) -> u64 {
    let interval = interval(now);
    match seen.and_then(parse) {
        Some(seen) if seen >= interval => seen + 1 + (random::fraction() * (MOST - 1) as f64) as u64,
        _ => interval,
    }
}

fn interval(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH + EPOCH).unwrap_or_default();
    since.as_secs() / INTERVAL.as_secs()
}

fn parse(cursor: &str) -> Option<u64> {
    let is_number = cursor.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| cursor.parse().ok())?;
    number.filter(|number| *number <= LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_cursor_is_the_number_of_the_interval() {
        for (seconds, cursor) in [(0, 0), (19, 0), (20, 1), (1_000_000, 50_000)] {
            assert_eq!(next(None, at(seconds)), cursor);
        }
        assert_eq!(next(None, SystemTime::UNIX_EPOCH), 0);
    }

    #[test]
    fn it_never_goes_back_and_never_stays() {
        for seen in [5, 6, 1000, LARGEST] {
            for _ in 0..100 {
                let next = next(Some(&seen.to_string()), at(100));
                assert!((seen + 1..=seen + MOST).contains(&next), "{next} after {seen}");
            }
        }
        assert_eq!(next(Some("4"), at(100)), 5);
    }

    #[test]
    fn one_that_no_server_has_made_is_ignored() {
        for seen in ["", "x", "-1", "1.5", "9007199254740993", "99999999999999999999999"] {
            assert_eq!(next(Some(seen), at(100)), 5, "{seen}");
        }
    }
}
