//! SIGTERM and SIGINT, which end every life. The kernel has no default action for them where this process is the first of
//! its container (`pid_namespaces(7)`).

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
/// Does the life end by itself once it is told to?
static DRAINS: AtomicBool = AtomicBool::new(false);

/// How long the log may hold up the end that a second signal asks for.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Takes both signals from now on. A second one ends the process at once. Needs the event loop.
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

/// Cancelled at the first SIGTERM or SIGINT, also one that came since [`catch`]. Whoever takes this ends by itself then.
pub fn stop() -> CancellationToken {
    DRAINS.store(true, Ordering::Relaxed);
    catch();
    STOP.clone()
}

/// Cancels `token` at the first SIGTERM or SIGINT; a second one ends the process at once.
pub fn stop_on_signal(token: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
    let stop = stop();
    async move {
        stop.cancelled().await;
        tracing::info!("draining");
        token.cancel();
    }
}

/// Waits for a signal that the life itself does not wait for.
pub async fn unheeded() {
    STOP.cancelled().await;
    if DRAINS.load(Ordering::Relaxed) {
        pending().await
    }
}
