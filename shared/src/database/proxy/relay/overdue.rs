//! Requests that take too long, or that nobody waits for.

use super::Progress;
use crate::database::proxy::{
    RequestTimeout,
    dialer::{Dialer, Route},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How long a request may be unanswered once the next one has been sent. The caller has dropped it, because sqlx sends
/// one at a time; an answer that is already on its way arrives within this time.
const OVERLAP: Duration = Duration::from_millis(200);
/// How often a session is looked at whose requests may take any time.
const RARELY: Duration = Duration::from_secs(30);

/// Cancels requests that take too long or were dropped. Returns when the session ends.
pub(super) async fn cancel_overdue(
    dialer: &Dialer,
    route: &Route,
    mut progress: watch::Receiver<Progress>,
    timeout: &RequestTimeout,
) {
    let longest = timeout.each().unwrap_or(RARELY);
    let mut not_before = Instant::now();
    loop {
        let (overdue, key) = {
            let progress = progress.borrow_and_update();
            (overdue(&progress, timeout), progress.key.clone())
        };
        let now = Instant::now();
        let due = overdue.map(|overdue| overdue.max(not_before));
        match (due, key) {
            (Some(due), Some(key)) if due <= now => {
                dialer.cancel(route, &key).await;
                not_before = Instant::now() + Duration::from_secs(1);
            }
            // A request that begins now is overdue later than `longest`: nobody is woken for it.
            (due, key) => tokio::select! {
                changed = progress.changed() => if changed.is_err() {
                    return;
                },
                () = sleep_until(due.filter(|_| key.is_some()).unwrap_or(now + longest)) => {}
            },
        }
    }
}

/// When the last request has to be cancelled, if at all.
fn overdue(progress: &Progress, timeout: &RequestTimeout) -> Option<Instant> {
    let asked = progress.asked?;
    match (progress.unanswered, timeout) {
        (0, _) => None,
        (1, RequestTimeout::Each(each)) => Some(asked + *each),
        (1, _) => None,
        _ => Some(asked + OVERLAP),
    }
}
