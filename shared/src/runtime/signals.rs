//! SIGTERM and SIGINT, which end the process in every life. They must be caught: the kernel has no default action for them
//! in PID 1 of a container (`pid_namespaces(7)`).

use crate::telemetry;
use std::{
    future::pending,
    sync::{
        LazyLock, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

static STOP: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);
/// Whether this life ends by itself after a signal.
static DRAINS: AtomicBool = AtomicBool::new(false);

/// How long the log may delay the exit after a second signal.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Catches both signals from now on; the second signal ends the process at once. Needs the event loop.
pub fn catch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            tracing::warn!("signals cannot be caught: the process will not drain");
            return;
        };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if STOP.is_cancelled() {
                    telemetry::flush(FLUSH_TIMEOUT);
                    std::process::exit(1);
                }
                STOP.cancel();
            }
        });
    });
}

/// Cancelled by the first signal since [`catch`]. The caller promises to end by itself then.
pub fn stop() -> CancellationToken {
    DRAINS.store(true, Ordering::Relaxed);
    catch();
    STOP.clone()
}

/// Cancels `token` at the first SIGTERM or SIGINT; the second ends the process at once.
pub fn stop_on_signal(token: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
    let stop = stop();
    async move {
        stop.cancelled().await;
        tracing::info!("draining");
        token.cancel();
    }
}

/// Returns at the first signal, unless this life called [`stop`] and ends by itself.
pub async fn unhandled() {
    STOP.cancelled().await;
    if DRAINS.load(Ordering::Relaxed) {
        pending().await
    }
}
