//! The sessions that a process keeps open for its queries.

mod session;

use super::{
    proxy::{Handle, Prefix, Proxy},
    reason::logged,
};
pub(super) use session::Fate;
pub use session::Session;
use session::Unused;
use sqlx::{Connection, PgConnection, Row};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long a session may be waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused session may take to answer before it is replaced.
const PING_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a session stays open unused, and in any case: the name of a server may lead elsewhere by then.
const MAX_UNUSED: Duration = Duration::from_secs(10 * 60);
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long the first attempt after a refusal by a server that is full, or starts up, waits. Each further one waits for twice
/// as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Lends sessions, in the order in which they are asked for.
pub(super) struct Pool {
    proxy: Proxy,
    permits: Arc<Semaphore>,
    unused: Arc<Unused>,
    _closing: AbortOnDropHandle<()>,
}

/// An open session.
struct Open {
    connection: PgConnection,
    handle: Handle,
    since: Instant,
    used: Instant,
    /// Whether everything that was sent has been answered. Otherwise the session is asked for a sign of life.
    is_settled: bool,
}

impl Pool {
    pub fn new(proxy: Proxy, sessions: u32) -> Self {
        let unused = Arc::<Unused>::default();
        let closing = tokio::spawn(Unused::close_old(Arc::clone(&unused)));
        Self {
            proxy,
            permits: Arc::new(Semaphore::new(sessions as usize)),
            unused,
            _closing: AbortOnDropHandle::new(closing),
        }
    }

    /// Lends a session.
    ///
    /// # Errors
    /// Why there is none; it has been logged.
    pub async fn lend(&self, fate: Fate) -> sqlx::Result<Session> {
        let lent = timeout(ACQUIRE_TIMEOUT, self.wait(fate)).await;
        lent.unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .inspect_err(|error| _ = logged(error))
    }

    /// Closes the sessions that are not lent, and waits until the server has ended all.
    pub async fn sessions_have_ended(&self) {
        self.unused.close();
        self.proxy.sessions_have_ended().await;
    }

    async fn wait(&self, fate: Fate) -> sqlx::Result<Session> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some(mut open) = self.unused.pop() {
            if open.is_alive().await {
                return Ok(Session::new(open, fate, &self.unused, permit));
            }
        }
        Ok(Session::new(self.open().await?, fate, &self.unused, permit))
    }

    async fn open(&self) -> sqlx::Result<Open> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.proxy.connect().await {
                Err(sqlx::Error::Database(error)) if error.is_transient_in_connect_phase() => {}
                connected => {
                    let (connection, handle) = connected?;
                    return Open::new(connection, handle).await;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Open {
    async fn new(mut connection: PgConnection, handle: Handle) -> sqlx::Result<Self> {
        match process(&mut connection).await {
            Ok(id) => handle.keep_names(id),
            // Not every server has the function, and the console of PgBouncer has none.
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            connection,
            handle,
            since: Instant::now(),
            used: Instant::now(),
            is_settled: true,
        })
    }

    /// Whether the session answers. One that has answered just now is not asked.
    async fn is_alive(&mut self) -> bool {
        if self.handle.has_ended() || self.since.elapsed() > MAX_AGE {
            return false;
        }
        if self.is_settled && self.handle.is_fresh() {
            return true;
        }
        let pong = timeout(PING_TIMEOUT, self.connection.ping()).await;
        matches!(pong, Ok(Ok(()))) && self.handle.is_idle()
    }
}

/// The server's process of the session that this query reaches. The simple protocol answers in text.
pub(super) async fn process(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    let id = row.try_get_raw(0)?.as_str().map_err(sqlx::Error::Decode)?;
    id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
