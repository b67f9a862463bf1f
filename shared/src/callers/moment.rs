//! A point in time whose age grows while this process is frozen.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// By two clocks, because the platform may stop the monotonic one when it freezes the process, and the other one may be set
/// back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    pub fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    pub fn is_after(&self, other: Instant) -> bool {
        self.monotonic > other
    }

    /// The time since then, by the clock that says more.
    pub fn age(&self) -> Duration {
        let by_wall = self.wall.elapsed().unwrap_or_default();
        self.monotonic.elapsed().max(by_wall)
    }

    /// How much of this time, counted from then, is left.
    pub fn left_of(&self, time: Duration) -> Duration {
        time.saturating_sub(self.age())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn an_hour_counts_whichever_clock_has_seen_it() {
        let mut moment = Moment::now();
        assert!(moment.age() < HOUR);
        moment.wall += HOUR;
        assert!(moment.age() < HOUR, "the clock was set back");
        moment.wall -= 2 * HOUR;
        assert!(moment.age() >= HOUR, "the monotonic clock stood still");
        assert_eq!(moment.left_of(HOUR), Duration::ZERO);
        let moment = Moment::now();
        tokio::time::advance(HOUR).await;
        assert!(moment.age() >= HOUR);
    }
}
