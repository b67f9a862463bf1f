//! What is known of an issuer's keys, and what that means for the next fetch.

use super::BACKOFF;
use crate::callers::{
    algorithm::Algorithm, fetch::Fetched, key_set::Verdict, moment::Moment, refusal::Refusal, token::Token,
};
use hyper::Uri;
use std::time::Duration;
use tokio::time::Instant;

/// How long keys are used after their age is over, while the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two searches for a missing key: anybody can send tokens that ask for one.
pub const SEARCH_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of an issuer's keys after a fetch.
#[derive(Clone)]
pub struct Known {
    /// `None`: no fetch has worked yet.
    pub fetched: Option<(Moment, Fetched)>,
    pub tried: Moment,
    /// How many fetches have failed since the last one that worked.
    pub failures: u32,
    /// When a fetch last looked for a key that was missing.
    pub searched: Option<Moment>,
}

impl Known {
    /// Within the age that the issuer gives its keys.
    fn is_fresh(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(at, fetched)| at.age() < fetched.max_age)
    }

    pub fn is_usable(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(at, fetched)| at.age() < fetched.max_age.saturating_add(STALE))
    }

    pub fn needs_no_fetch(&self) -> bool {
        self.is_fresh() || !self.rest().is_zero()
    }

    /// How long the issuer is left alone after a failure.
    pub fn rest(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let [first, longest] = BACKOFF;
        self.tried.left_of((first * 2_u32.pow(doublings.min(10))).min(longest))
    }

    pub fn may_search(&self) -> bool {
        let is_due = self.searched.is_none_or(|at| at.age() >= SEARCH_INTERVAL);
        is_due && self.rest().is_zero() && !self.is_final()
    }

    pub fn has_come_after(&self, asked: Instant) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(at, _)| at.is_after(asked))
    }

    /// Keys of the settings are all there will ever be.
    fn is_final(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(_, fetched)| fetched.url.is_none())
    }

    /// A key that is missing may be a new one that could not be fetched.
    pub fn unavailable(&self) -> Option<Refusal> {
        let next_search = self.searched.map_or(Duration::ZERO, |at| at.left_of(SEARCH_INTERVAL));
        (self.failures > 0).then(|| Refusal::Unavailable(next_search.max(self.rest())))
    }

    /// Where the keys are, unless it is time to ask again.
    pub fn url(&self) -> Option<Uri> {
        let fetched = self.fetched.as_ref().filter(|_| self.is_fresh() && self.failures == 0);
        fetched.and_then(|(_, fetched)| fetched.url.clone())
    }

    pub fn verdict(&self, token: &Token<'_>, algorithm: Algorithm) -> Verdict {
        let fetched = self.fetched.as_ref();
        fetched.map_or(Verdict::Unknown, |(_, fetched)| fetched.keys.verdict(token, algorithm))
    }
}
