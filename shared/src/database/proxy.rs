//! An in-process proxy between sqlx and Postgres. sqlx opens its sockets itself, without TCP_NODELAY, and with a meaning of
//! `sslmode`, roots and addresses that is not libpq's; trusts every length that a server sends; and leaves running in the
//! server what its caller has given up. So sqlx is sent to a socket of this process, and the way from there to the server
//! is here: opened as libpq opens it (`open`, `tls`), bounded, and cancelled when the caller has gone (`relay`).

mod dialer;
mod messages;
mod open;
mod relay;
mod tls;

use crate::database::settings::Dsn;
use dialer::Dialer;
use messages::Fault;
pub(super) use messages::{MISCONFIGURED, TIMEOUT, TLS, UNREACHABLE};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

/// What sessions may take: of the server, and of this process.
#[derive(Clone)]
pub(super) struct Limits {
    /// How many at once. One counts until the server has ended it, whatever became of its caller.
    pub sessions: u32,
    /// Bytes of the answer to one request.
    pub answer: usize,
    /// How long a request may take.
    pub patience: Patience,
}

/// How long a request may take.
#[derive(Clone)]
pub(super) enum Patience {
    /// As long as its caller waits.
    Callers,
    /// So long each; then it is cancelled.
    Each(Duration),
    /// Until this moment, which moves from check to check. The server is told, so that it ends even without this process.
    Until(Arc<Mutex<Instant>>),
}

impl Patience {
    /// What is left for a request that is made now, where the server is told.
    fn left(&self) -> Option<Duration> {
        match self {
            Self::Until(moment) => {
                let moment = *moment.lock().unwrap_or_else(PoisonError::into_inner);
                Some(moment.saturating_duration_since(Instant::now()))
            }
            _ => None,
        }
    }
}

/// Where sqlx finds the proxy. Sessions that it has opened outlive it.
pub(super) struct Proxy {
    options: PgConnectOptions,
    sessions: u32,
    slots: Arc<Semaphore>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens; connects to no server yet.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn start(dsn: &Dsn, limits: Limits) -> io::Result<Self> {
        let folder = Folder::new()?;
        let options = options(dsn).socket(&folder.0);
        let listener = UnixListener::bind(folder.0.join(format!(".s.PGSQL.{}", options.get_port())))?;
        let slots = Arc::new(Semaphore::new(limits.sessions as usize));
        let sessions = limits.sessions;
        let dialer = Arc::new(Dialer::new(dsn, &limits.patience));
        let accepting = tokio::spawn(accept(listener, folder, dialer, limits, Arc::clone(&slots)));
        Ok(Self {
            options,
            sessions,
            slots,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// For sqlx, in place of those that name the server.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// When no session is left in the server.
    pub async fn is_quiet(&self) {
        let _ = self.slots.acquire_many(self.sessions).await;
    }

    /// A session.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }
}

async fn accept(listener: UnixListener, _folder: Folder, dialer: Arc<Dialer>, limits: Limits, slots: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) if is_this_process(&client) => {
                tokio::spawn(relay::run(
                    client,
                    Arc::clone(&dialer),
                    limits.clone(),
                    Arc::clone(&slots),
                ));
            }
            Ok(_) => {}
            // No file descriptor is left; there may be one soon.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// An abstract name has no permissions: whoever is on this machine may connect to it.
fn is_this_process(client: &UnixStream) -> bool {
    let peer = client.peer_cred().ok().and_then(|peer| peer.pid());
    peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}

/// What sqlx still does itself: the startup message, the password, the queries.
fn options(dsn: &Dsn) -> PgConnectOptions {
    let name = dsn.application_name.clone().unwrap_or_else(program);
    // PgBouncer refuses `extra_float_digits`, and servers since 12 do without it.
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(5432)
        .application_name(&name)
        // What lies between the two of them is this process.
        .ssl_mode(PgSslMode::Disable)
        .extra_float_digits(None);
    if let Some(user) = &dsn.user {
        options = options.username(user);
    }
    if let Some(password) = &dsn.password {
        options = options.password(password);
    }
    if let Some(database) = &dsn.database {
        options = options.database(database);
    }
    match dsn.statement_cache {
        Some(capacity) => options.statement_cache_capacity(capacity),
        None => options,
    }
}

/// The name of this binary, for those who look at the server's sessions.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folder of the proxy's socket. On Linux a name that no file system knows, so that one that is read-only will do.
struct Folder(PathBuf);

#[cfg(target_os = "linux")]
impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("\0pilotlight-{}-{:032x}", std::process::id(), fastrand::u128(..));
        Ok(Self(name.into()))
    }
}

#[cfg(not(target_os = "linux"))]
impl Folder {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = std::env::temp_dir().join(format!("pl-{:016x}", fastrand::u64(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
