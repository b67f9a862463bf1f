//! A check with a deadline, a single flight and a short cache.

use super::Report;
use crate::{config::Env, single_flight::SingleFlight};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How health checks behave.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `HEALTH_TIMEOUT`: the deadline of a check, connecting included.
    pub timeout: Duration,
    /// `HEALTH_CACHE`: how long a result, good or bad, answers further probes.
    pub cache: Duration,
}

impl Settings {
    /// Reads `HEALTH_TIMEOUT` (2 s) and `HEALTH_CACHE` (1 s).
    pub fn from_env(env: &Env) -> Self {
        Self {
            timeout: env.duration("HEALTH_TIMEOUT", Duration::from_secs(2)),
            cache: env.duration("HEALTH_CACHE", Duration::from_secs(1)),
        }
    }
}

/// A check that any number of probes may ask for at once: they share one flight, and its result for a while.
#[derive(Clone)]
pub struct Check {
    probe: Arc<Probe>,
    settings: Settings,
    flight: SingleFlight<(Instant, Report)>,
}

type Probe = dyn Fn() -> BoxFuture<'static, Report> + Send + Sync;

impl Check {
    /// A check that runs `probe` and turns what it found, or `None` at the deadline, and the time it took into a report.
    pub fn new<T, F>(
        settings: Settings,
        probe: impl Fn() -> F + Send + Sync + 'static,
        report: impl Fn(Option<T>, Duration) -> Report + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let report = Arc::new(report);
        let probe = move || -> BoxFuture<'static, Report> {
            let (found, report) = (timeout(settings.timeout, probe()), Arc::clone(&report));
            Box::pin(async move {
                let start = Instant::now();
                let found = found.await.ok();
                report(found, start.elapsed())
            })
        };
        Self {
            probe: Arc::new(probe),
            settings,
            flight: SingleFlight::default(),
        }
    }

    /// The report of the last check if it is fresh, else of the one in flight, else of a new one. A probe that hangs up does
    /// not cancel the flight for the others.
    pub async fn report(&self) -> Report {
        let (probe, cache) = (Arc::clone(&self.probe), self.settings.cache);
        let flight = self.flight.get(
            |(at, _)| at.elapsed() < cache,
            |_| async move {
                let report = probe().await;
                (Instant::now(), report)
            },
        );
        flight.await.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Measurement, Status, Timestamp};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SETTINGS: Settings = Settings {
        timeout: Duration::from_secs(2),
        cache: Duration::from_secs(1),
    };
    const MEASURED: Measurement = Measurement {
        name: "thing:responseTime",
        component: "component",
        observed: None,
    };

    fn report(found: Option<bool>, _: Duration) -> Report {
        let (status, reason) = match found {
            Some(true) => (Status::Healthy, None),
            Some(false) => (Status::Unhealthy, Some("unreachable")),
            None => (Status::Unhealthy, Some("timeout")),
        };
        Report::new(
            status,
            reason,
            Timestamp::now(),
            MEASURED,
            &json!({"thing": "x", "reason": reason}),
        )
    }

    /// A check of something that takes `latency`, and how often it was tried.
    fn check(latency: Duration, healthy: bool) -> (Check, Arc<AtomicUsize>) {
        let tries = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&tries);
        let probe = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(latency).await;
                healthy
            }
        };
        (Check::new(SETTINGS, probe, report), tries)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_hangs_is_reported_at_the_deadline() {
        let (check, _) = check(Duration::from_secs(3600), true);
        let start = Instant::now();
        assert!(check.report().await.json().contains(r#""reason":"timeout""#));
        assert!(start.elapsed() < SETTINGS.timeout + Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_probes_at_once_share_one_flight_and_its_bad_result() {
        let (check, tries) = check(Duration::from_millis(100), false);
        let probes = (0..1000).map(|_| check.report());
        for report in futures_util::future::join_all(probes).await {
            assert_eq!(report.status, Status::Unhealthy);
        }
        check.report().await;
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        tokio::time::advance(SETTINGS.cache).await;
        check.report().await;
        assert_eq!(tries.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_up_does_not_cancel_the_flight_of_the_others() {
        let (check, tries) = check(Duration::from_millis(100), true);
        let impatient = timeout(Duration::from_millis(10), check.report());
        assert!(impatient.await.is_err());
        assert_eq!(check.report().await.status, Status::Healthy);
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_leaves_the_check_usable() {
        let tries = Arc::new(AtomicUsize::new(0));
        let probe = move || {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                assert!(!first, "the first try fails");
                true
            }
        };
        let check = Check::new(SETTINGS, probe, report);
        let first = tokio::spawn({
            let check = check.clone();
            async move { check.report().await.status }
        });
        assert!(first.await.is_err());
        assert_eq!(check.report().await.status, Status::Healthy);
    }
}
