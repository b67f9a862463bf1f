//! Retries of one request, within one deadline.

use super::{Error, Kind};
use crate::random;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Retries until an attempt succeeds or fails for good, or the deadline comes. An attempt may take half of the time
/// left, so that a store that does not answer leaves time for another.
pub(super) async fn retry<T, F>(deadline: Duration, mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    const SHORTEST: Duration = Duration::from_millis(50);
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(100);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let result = timeout(left / 2, attempt()).await;
        let result = result.unwrap_or_else(|_| Err(Kind::Timeout.into()));
        let error = match result {
            Err(error) if error.is_transient() => error,
            result => return result,
        };
        let jittered = pause.mul_f64(0.5 + random::fraction() / 2.0);
        if end.saturating_duration_since(Instant::now()) < jittered + SHORTEST {
            return Err(error);
        }
        sleep(jittered).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_not_tried_again() {
        let mut attempts = 0;
        let result: Result<(), Error> = retry(DEADLINE, || {
            attempts += 1;
            ready(Err(Kind::Forbidden.into()))
        })
        .await;
        assert_eq!((result.unwrap_err().kind, attempts), (Kind::Forbidden, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_throttling_end_with_the_deadline() {
        for kind in [Kind::Timeout, Kind::Throttled] {
            let start = Instant::now();
            let mut attempts = 0;
            let result: Result<(), Error> = retry(DEADLINE, || {
                attempts += 1;
                async move {
                    if kind == Kind::Timeout {
                        std::future::pending::<()>().await;
                    }
                    Err(kind.into())
                }
            })
            .await;
            assert_eq!(result.unwrap_err().kind, kind);
            assert!(attempts > 2 && start.elapsed() <= DEADLINE, "{attempts}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_back_is_found() {
        let mut attempts = 0;
        let result = retry(DEADLINE, || {
            attempts += 1;
            ready(if attempts < 4 {
                Err(Kind::Unreachable.into())
            } else {
                Ok(attempts)
            })
        })
        .await;
        assert_eq!(result.unwrap(), 4);
    }
}
