//! The session of health checks: one at most, kept for the next check for a while, and bounded by the check's deadline.

use super::{
    Reason,
    migrations::{Applied, applied},
    proxy::{Limits, Patience, Proxy},
    reason::{is_lost, logged},
    settings::Dsn,
};
use futures_util::FutureExt;
use sqlx::PgConnection;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long an unused session is kept. Behind a pooler in session mode it is one that nobody else has; and a process that
/// was frozen, or a path that forgets idle connections, leaves some that take a request and never answer.
const IDLE: Duration = Duration::from_secs(10);
/// As much as thousands of migrations, recorded.
const ANSWER: usize = 1 << 20;
/// What a session may take to close before the answer goes out.
const FAREWELL: Duration = Duration::from_millis(50);

pub(super) struct Checks {
    keep: bool,
    proxy: OnceLock<Proxy>,
    deadline: Arc<Mutex<Instant>>,
    /// Taken out while in use, so that a check that was cut leaves no half-read answer behind.
    idle: Arc<Mutex<Option<Idle>>>,
}

struct Idle {
    connection: PgConnection,
    /// By the clock that goes on while a process is frozen.
    since: SystemTime,
    _closing: AbortOnDropHandle<()>,
}

impl Checks {
    pub fn new(keep: bool) -> Self {
        Self {
            keep,
            proxy: OnceLock::new(),
            deadline: Arc::new(Mutex::new(Instant::now())),
            idle: Arc::default(),
        }
    }

    /// The migrations that are applied.
    pub async fn applied(&self, dsn: &Dsn, within: Duration) -> Result<Vec<Applied>, Reason> {
        *lock(&self.deadline) = Instant::now() + within;
        let proxy = self.proxy(dsn)?;
        // sqlx panics at messages that are shorter than their kind.
        let asked = AssertUnwindSafe(self.ask(proxy)).catch_unwind().await;
        let asked = asked.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed));
        let answer = asked.map(|(applied, connection)| {
            if self.keep {
                self.put_back(connection);
            }
            applied
        });
        if !self.keep {
            // Whatever was found: the session is closed by now, on this side.
            let _ = timeout(FAREWELL, proxy.is_quiet()).await;
        }
        answer.map_err(|error| logged(&error))
    }

    async fn ask(&self, proxy: &Proxy) -> sqlx::Result<(Vec<Applied>, PgConnection)> {
        let idle = lock(&self.idle).take();
        // A clock that was set back says nothing.
        let idle = idle.filter(|idle| idle.since.elapsed().is_ok_and(|unused| unused < IDLE));
        if let Some(Idle { mut connection, .. }) = idle {
            match applied(&mut connection).await {
                // A session that died meanwhile says nothing about the server of now.
                Err(error) if is_lost(&error) => {}
                answer => return Ok((answer?, connection)),
            }
        }
        let mut connection = proxy.connect().await?;
        Ok((applied(&mut connection).await?, connection))
    }

    fn put_back(&self, connection: PgConnection) {
        let idle = Arc::clone(&self.idle);
        let closing = tokio::spawn(async move {
            sleep(IDLE).await;
            lock(&idle).take();
        });
        *lock(&self.idle) = Some(Idle {
            connection,
            since: SystemTime::now(),
            _closing: AbortOnDropHandle::new(closing),
        });
    }

    fn proxy(&self, dsn: &Dsn) -> Result<&Proxy, Reason> {
        if let Some(proxy) = self.proxy.get() {
            return Ok(proxy);
        }
        let limits = Limits {
            sessions: 1,
            answer: ANSWER,
            patience: Patience::Until(Arc::clone(&self.deadline)),
        };
        let proxy = Proxy::start(dsn, limits).map_err(|error| logged(&error.into()))?;
        Ok(self.proxy.get_or_init(|| proxy))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
