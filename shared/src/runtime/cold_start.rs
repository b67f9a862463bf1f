//! The cold start of an environment: the first request of this process that is not a probe, and how long its start took.

use crate::telemetry::Context;
use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
static INIT: OnceLock<Duration> = OnceLock::new();
static SERVED: AtomicBool = AtomicBool::new(false);

/// That a request is the first one.
pub struct ColdStart {
    /// From the start of `main` until requests were accepted.
    pub init: Option<Duration>,
}

/// `main` has started.
pub fn started() {
    LazyLock::force(&STARTED);
}

/// From now on, requests are accepted.
pub fn ready() {
    INIT.get_or_init(|| STARTED.elapsed());
}

/// The cold start, if this is its request. On Cloud Run, the first request is a probe of the platform, for which nobody waits.
pub fn of_request(context: &Context) -> Option<ColdStart> {
    if context.is_probe() || SERVED.load(Ordering::Relaxed) || SERVED.swap(true, Ordering::Relaxed) {
        return None;
    }
    Some(ColdStart {
        init: INIT.get().copied(),
    })
}
