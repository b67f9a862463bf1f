//! The session of health checks: one at most, reused by the next check for a while, and bounded by the check's
//! deadline.

use super::{
    Reason,
    migrations::{Applied, applied},
    proxy::{Limits, Proxy, RequestTimeout},
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
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long a session stays open for the next check. Not for long: a pooler in session mode cannot lend it to anybody
/// else, and after a process was frozen, or a NAT has forgotten the connection, it takes a request and never answers.
const IDLE: Duration = Duration::from_secs(10);
/// The largest answer, in bytes: enough for the records of thousands of migrations.
const MAX_ANSWER: usize = 1 << 20;
/// How long a check waits for its session to close before it answers.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);

pub(super) struct Checks {
    keep: bool,
    proxy: OnceLock<Proxy>,
    deadline: watch::Sender<Instant>,
    /// Taken out while in use, so that a check that is dropped halfway leaves no session with a half-read answer.
    idle: Arc<Mutex<Option<Idle>>>,
}

struct Idle {
    connection: PgConnection,
    /// `SystemTime`, because `Instant` may stand still while a process is frozen.
    since: SystemTime,
    _closing: AbortOnDropHandle<()>,
}

impl Checks {
    pub fn new(keep: bool) -> Self {
        Self {
            keep,
            proxy: OnceLock::new(),
            deadline: watch::channel(Instant::now()).0,
            idle: Arc::default(),
        }
    }

    /// The migrations that are applied.
    pub async fn applied(&self, dsn: &Dsn, within: Duration) -> Result<Vec<Applied>, Reason> {
        self.deadline.send_replace(Instant::now() + within);
        let proxy = self.proxy(dsn)?;
        // sqlx panics at a message that is shorter than its type requires.
        let asked = AssertUnwindSafe(self.ask(proxy)).catch_unwind().await;
        let asked = asked.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed));
        let answer = asked.map(|(applied, connection)| {
            if self.keep {
                self.put_back(connection);
            }
            applied
        });
        if !self.keep {
            // The connection is dropped by now, whatever was found. The server may take a moment to end the session.
            let _ = timeout(CLOSE_TIMEOUT, proxy.sessions_have_ended()).await;
        }
        answer.map_err(|error| logged(&error))
    }

    async fn ask(&self, proxy: &Proxy) -> sqlx::Result<(Vec<Applied>, PgConnection)> {
        let idle = lock(&self.idle).take();
        // `elapsed` fails if the clock was set back; then the age is unknown.
        let idle = idle.filter(|idle| idle.since.elapsed().is_ok_and(|unused| unused < IDLE));
        if let Some(Idle { mut connection, .. }) = idle {
            match applied(&mut connection).await {
                // A session that died while it was idle does not mean that the server cannot be reached now.
                Err(error) if is_lost(&error) => {}
                answer => return Ok((answer?, connection)),
            }
        }
        let (mut connection, _) = proxy.connect().await?;
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
            answer: MAX_ANSWER,
            timeout: RequestTimeout::Until(self.deadline.subscribe()),
        };
        let proxy = Proxy::start(dsn, limits).map_err(|error| logged(&error.into()))?;
        Ok(self.proxy.get_or_init(|| proxy))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
