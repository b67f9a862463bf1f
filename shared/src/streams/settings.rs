//! The settings of streams.

use crate::config::Env;
use std::time::Duration;

/// How many of each there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `STREAM_MAX_PRODUCERS`: of one stream.
    pub producers: i32,
    /// `STREAM_MAX_STREAMS`: in the database. Without it, as many as there is room for.
    pub streams: Option<i64>,
}

impl Limits {
    pub fn from_env(env: &Env) -> Self {
        let expected = "a number between 1 and 1000000000";
        let number = |text: &str| text.parse().ok().filter(|count| (1..=1_000_000_000).contains(count));
        Self {
            producers: env.parse("STREAM_MAX_PRODUCERS", 1000, expected, number),
            streams: env.parse("STREAM_MAX_STREAMS", None, expected, |text| {
                number(text).map(|count| Some(count.into()))
            }),
        }
    }
}

/// `STREAM_SLEEP_AFTER`: how long nothing must have happened before the database is left to sleep (5 min).
pub(super) fn sleep_after(env: &Env) -> Duration {
    env.duration("STREAM_SLEEP_AFTER", Duration::from_secs(5 * 60))
}
