//! The keys of an issuer: fetched when the first token comes, and again when they are old or when a key is missing.

use super::{
    algorithm::Algorithm,
    fetch::{Fetch, Fetched},
    key::Key,
    moment::Moment,
    problem::{KEY_UNKNOWN, SIGNATURE_WRONG},
    refusal::Refusal,
    token::Token,
};
use crate::{deadline::Deadline, single_flight::SingleFlight};
use axum::BoxError;
use hyper::Uri;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a fetch may take, and how long a request waits for the first.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for newer keys when those at hand are old. After a failure it does not wait.
const REFRESH_WAIT: Duration = Duration::from_millis(500);
/// How long keys are used after their age is over, while the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two searches for a missing key: anybody can send tokens that ask for one.
const SEARCH_INTERVAL: Duration = Duration::from_secs(60);
/// The time between two fetches that fail doubles from the first to the second.
const BACKOFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// How many keys are tried for a token that does not name its key.
const MAX_TRIED: usize = 8;

/// Clones share the keys.
#[derive(Clone)]
pub(super) struct Keys {
    issuer: Arc<str>,
    fetch: Arc<dyn Fetch>,
    flight: SingleFlight<Known>,
}

/// What is known of an issuer's keys after a fetch.
#[derive(Clone)]
struct Known {
    /// `None`: no fetch has worked yet.
    fetched: Option<(Moment, Fetched)>,
    tried: Moment,
    /// How many fetches have failed since the last one that worked.
    failures: u32,
    /// When a fetch last looked for a key that was missing.
    searched: Option<Moment>,
}

enum Verdict {
    Signed,
    /// A key fits, but it has not signed the token.
    Unsigned,
    /// No key fits.
    Unknown,
}

impl Keys {
    pub fn new(issuer: Arc<str>, fetch: Arc<dyn Fetch>) -> Self {
        let flight = SingleFlight::default();
        Self { issuer, fetch, flight }
    }

    /// Whether the issuer has signed the token.
    ///
    /// # Errors
    /// [`SIGNATURE_WRONG`]; [`KEY_UNKNOWN`]; or no key is at hand, and the issuer does not answer before the deadline.
    pub async fn verify(&self, token: &Token<'_>, algorithm: Algorithm, deadline: &Deadline) -> Result<(), Refusal> {
        let mut known = self.current(deadline).await?;
        loop {
            let refusal = match known.verdict(token, algorithm) {
                Verdict::Signed => return Ok(()),
                // A key id names one key, and a newer set would have the same.
                Verdict::Unsigned if token.header.kid.is_some() => return Err(SIGNATURE_WRONG.into()),
                Verdict::Unsigned => SIGNATURE_WRONG.into(),
                Verdict::Unknown => KEY_UNKNOWN.into(),
            };
            if !known.may_search() {
                return Err(known.unavailable().unwrap_or(refusal));
            }
            known = self.search(deadline).await?;
        }
    }

    /// Keys that are fresh, or that may be used all the same.
    async fn current(&self, deadline: &Deadline) -> Result<Known, Refusal> {
        let last = self.flight.last();
        let wait = match &last {
            Some(known) if known.needs_no_fetch() => Duration::ZERO,
            Some(known) if known.is_usable() && known.failures > 0 => Duration::ZERO,
            Some(known) if known.is_usable() => REFRESH_WAIT,
            _ => FETCH_TIMEOUT,
        };
        let known = self.flight.get(Known::needs_no_fetch, |last| self.fetched(last, false));
        // Starts the flight even if there is no time to wait for it.
        let known = timeout_at(deadline.cap(Instant::now() + wait), known).await.ok();
        let usable = known.or(last).filter(Known::is_usable);
        usable.ok_or_else(|| Refusal::Unavailable(self.retry_after()))
    }

    /// The keys after a search for one that is missing, this one or another.
    async fn search(&self, deadline: &Deadline) -> Result<Known, Refusal> {
        let known = self
            .flight
            .get(|known| !known.may_search(), |last| self.fetched(last, true));
        let known = timeout_at(deadline.cap(Instant::now() + FETCH_TIMEOUT), known).await;
        known.map_err(|_| Refusal::Unavailable(self.retry_after()))
    }

    fn retry_after(&self) -> Duration {
        let last = self.flight.last();
        last.map_or(BACKOFF[0], |known| known.rest())
    }

    /// A fetch, with what it leaves of the last one if it fails.
    fn fetched(&self, last: Option<Known>, is_search: bool) -> impl Future<Output = Known> + Send + use<> {
        let (issuer, fetch) = (Arc::clone(&self.issuer), Arc::clone(&self.fetch));
        async move {
            let tried = Moment::now();
            let url = last.as_ref().and_then(Known::url);
            let mut result = attempt(&*fetch, url.clone()).await;
            // This process was frozen meanwhile: the connection is dead, which says nothing about the issuer.
            if result.is_err() && tried.age() > 2 * FETCH_TIMEOUT {
                result = attempt(&*fetch, url).await;
            }
            let searched = last.as_ref().and_then(|known| known.searched);
            let searched = if is_search { Some(tried) } else { searched };
            let (fetched, failures) = match result {
                Ok(fetched) => (Some((Moment::now(), fetched)), 0),
                Err(error) => {
                    tracing::warn!(issuer = &*issuer, error = %error, "the keys of an issuer cannot be fetched");
                    let failures = last.as_ref().map_or(0, |known| known.failures);
                    (last.and_then(|known| known.fetched), failures + 1)
                }
            };
            Known {
                fetched,
                tried,
                failures,
                searched,
            }
        }
    }
}

async fn attempt(fetch: &dyn Fetch, url: Option<Uri>) -> Result<Fetched, BoxError> {
    let result = timeout(FETCH_TIMEOUT, fetch.fetch(url)).await;
    result.unwrap_or_else(|_| Err("the issuer takes too long".into()))
}

impl Known {
    /// Within the age that the issuer gives its keys.
    fn is_fresh(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(at, fetched)| at.age() < fetched.max_age)
    }

    fn is_usable(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(at, fetched)| at.age() < fetched.max_age.saturating_add(STALE))
    }

    fn needs_no_fetch(&self) -> bool {
        self.is_fresh() || !self.rest().is_zero()
    }

    /// How long the issuer is left alone after a failure.
    fn rest(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let [first, longest] = BACKOFF;
        self.tried.left_of((first * 2_u32.pow(doublings.min(10))).min(longest))
    }

    fn may_search(&self) -> bool {
        let is_due = self.searched.is_none_or(|at| at.age() >= SEARCH_INTERVAL);
        is_due && self.rest().is_zero() && !self.is_final()
    }

    /// Keys of the settings are all there will ever be.
    fn is_final(&self) -> bool {
        let fetched = self.fetched.as_ref();
        fetched.is_some_and(|(_, fetched)| fetched.url.is_none())
    }

    /// A key that is missing may be a new one that could not be fetched.
    fn unavailable(&self) -> Option<Refusal> {
        let next_search = self.searched.map_or(Duration::ZERO, |at| at.left_of(SEARCH_INTERVAL));
        (self.failures > 0).then(|| Refusal::Unavailable(next_search.max(self.rest())))
    }

    /// Where the keys are, unless it is time to ask again.
    fn url(&self) -> Option<Uri> {
        let fetched = self.fetched.as_ref().filter(|_| self.is_fresh() && self.failures == 0);
        fetched.and_then(|(_, fetched)| fetched.url.clone())
    }

    fn verdict(&self, token: &Token<'_>, algorithm: Algorithm) -> Verdict {
        let keys = self
            .fetched
            .as_ref()
            .map(|(_, fetched)| &*fetched.keys)
            .unwrap_or_default();
        let id = token.header.kid.as_deref();
        let fits = |key: &&Key| key.fits(algorithm, id);
        let mut fitting = keys.iter().filter(fits).take(MAX_TRIED).peekable();
        let no_key = fitting.peek().is_none();
        match fitting.any(|key| key.verify(algorithm, token.message, &token.signature)) {
            true => Verdict::Signed,
            false if no_key => Verdict::Unknown,
            false => Verdict::Unsigned,
        }
    }
}

#[cfg(test)]
mod tests;
