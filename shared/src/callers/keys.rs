//! The keys of an issuer: fetched when the first token comes, and again when they are old or when a key is missing.

mod known;

use super::{
    algorithm::Algorithm,
    fetch::{Fetch, Fetched},
    key_set::Verdict,
    moment::Moment,
    problem::{KEY_UNKNOWN, SIGNATURE_WRONG},
    refusal::Refusal,
    token::Token,
};
use crate::{
    deadline::{Deadline, margin},
    single_flight::SingleFlight,
};
use axum::BoxError;
use hyper::Uri;
use known::Known;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a fetch may take, and how long a request waits for the first.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for newer keys when those at hand are old. After a failure it does not wait.
const REFRESH_WAIT: Duration = Duration::from_millis(500);
/// The time between two fetches that fail doubles from the first to the second.
const BACKOFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// Clones share the keys.
#[derive(Clone)]
pub(super) struct Keys {
    issuer: Arc<str>,
    fetch: Arc<dyn Fetch>,
    flight: SingleFlight<Known>,
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
        let asked = Instant::now();
        let mut known = self.current(deadline).await?;
        loop {
            let refusal = match known.verdict(token, algorithm) {
                Verdict::Signed => return Ok(()),
                // A key id names one key, and a newer set would have the same.
                Verdict::Unsigned if token.header.kid.is_some() => return Err(SIGNATURE_WRONG.into()),
                Verdict::Unsigned => SIGNATURE_WRONG.into(),
                Verdict::Unknown => KEY_UNKNOWN.into(),
            };
            // Keys that have come while this request waited are as new as those of a search.
            if !known.may_search() || known.has_come_after(asked) {
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
        let known = timeout_at(end(deadline, wait), known).await.ok();
        let usable = known.or(last).filter(Known::is_usable);
        usable.ok_or_else(|| Refusal::Unavailable(self.retry_after()))
    }

    /// The keys after a search for one that is missing, this one or another.
    async fn search(&self, deadline: &Deadline) -> Result<Known, Refusal> {
        let known = self
            .flight
            .get(|known| !known.may_search(), |last| self.fetched(last, true));
        let known = timeout_at(end(deadline, FETCH_TIMEOUT), known).await;
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

/// When a request stops waiting.
fn end(deadline: &Deadline, wait: Duration) -> Instant {
    let margin = deadline.left().map(margin);
    let deadline = deadline.clone().before(margin.unwrap_or_default());
    deadline.cap(Instant::now() + wait)
}

async fn attempt(fetch: &dyn Fetch, url: Option<Uri>) -> Result<Fetched, BoxError> {
    let result = timeout(FETCH_TIMEOUT, fetch.fetch(url)).await;
    result.unwrap_or_else(|_| Err("the issuer takes too long".into()))
}

#[cfg(test)]
mod tests;
