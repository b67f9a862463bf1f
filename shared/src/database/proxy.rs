//! An in-process proxy between sqlx and Postgres. It is there because sqlx
//!
//! - opens its sockets without TCP_NODELAY, and interprets `sslmode`, roots and addresses differently from libpq;
//! - trusts every length that a server sends;
//! - leaves a query running in the server after its caller has dropped it;
//! - gives prepared statements names, which are lost where a pooler in transaction mode changes the session;
//! - has no request that bounds a statement, or begins a transaction, without a round trip.
//!
//! sqlx connects to a Unix socket of this process. From there the proxy connects to the server as libpq does (`open`,
//! `tls`), limits the time of requests and the size of answers, and cancels what nobody waits for (`relay`).

mod dialer;
mod handle;
mod messages;
mod open;
mod prefix;
mod relay;
mod tls;

use crate::{config::program, database::settings::Dsn};
use dialer::Dialer;
pub(super) use handle::Handle;
use handle::Waiting;
use messages::ProxyError;
pub(super) use messages::{MISCONFIGURED, TIMEOUT, TLS, UNREACHABLE};
pub(super) use prefix::Prefix;
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

/// The limits of a proxy's sessions.
#[derive(Clone)]
pub(super) struct Limits {
    /// How many at once. A session counts until the server has ended it, even if its caller has gone.
    pub sessions: u32,
    /// Bytes of the answer to one request.
    pub answer: usize,
    /// How long a request may take.
    pub timeout: RequestTimeout,
}

/// How long a request may take.
#[derive(Clone)]
pub(super) enum RequestTimeout {
    /// As long as the caller waits.
    None,
    /// This long; then the proxy cancels the request.
    Each(Duration),
    /// Until this moment, which each health check moves. Sent to the server as `statement_timeout`, so that the request
    /// ends even if this process is frozen or gone.
    Until(watch::Receiver<Instant>),
}

impl RequestTimeout {
    /// The `statement_timeout` of a request that is sent now, if the server gets one with each request.
    fn left(&self) -> Option<Duration> {
        match self {
            Self::Until(moment) => Some(moment.borrow().saturating_duration_since(Instant::now())),
            Self::None | Self::Each(_) => None,
        }
    }

    fn each(&self) -> Option<Duration> {
        match self {
            Self::Each(each) => Some(*each),
            Self::None | Self::Until(_) => None,
        }
    }
}

/// A running proxy. Its sessions outlive it.
pub(super) struct Proxy {
    options: PgConnectOptions,
    sessions: u32,
    slots: Arc<Semaphore>,
    waiting: Waiting,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens for sqlx. Connects to a server once sqlx has connected.
    ///
    /// # Errors
    /// This process cannot open a socket.
    pub fn start(dsn: &Dsn, limits: Limits) -> io::Result<Self> {
        let folder = Folder::new()?;
        let options = options(dsn).socket(&folder.0);
        let listener = UnixListener::bind(folder.0.join(format!(".s.PGSQL.{}", options.get_port())))?;
        let slots = Arc::new(Semaphore::new(limits.sessions as usize));
        let sessions = limits.sessions;
        let dialer = Arc::new(Dialer::new(dsn, &limits.timeout));
        let waiting = Waiting::default();
        let accepting = accept(listener, folder, dialer, limits, Arc::clone(&slots), waiting.clone());
        let accepting = tokio::spawn(accepting);
        Ok(Self {
            options,
            sessions,
            slots,
            waiting,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// How sqlx connects to this proxy.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Waits until the server has ended every session.
    pub async fn sessions_have_ended(&self) {
        let _ = self.slots.acquire_many(self.sessions).await;
    }

    /// Opens a session.
    pub async fn connect(&self) -> sqlx::Result<(PgConnection, Handle)> {
        let (_ticket, handle, options) = self.waiting.add(self.options.clone());
        let connection = PgConnection::connect_with(&options).await?;
        Ok((connection, handle))
    }
}

async fn accept(
    listener: UnixListener,
    _folder: Folder,
    dialer: Arc<Dialer>,
    limits: Limits,
    slots: Arc<Semaphore>,
    waiting: Waiting,
) {
    loop {
        match listener.accept().await {
            Ok((client, _)) if is_this_process(&client) => {
                tokio::spawn(relay::run(
                    client,
                    Arc::clone(&dialer),
                    limits.clone(),
                    Arc::clone(&slots),
                    waiting.clone(),
                ));
            }
            Ok(_) => {}
            // Out of file descriptors; there may be one soon.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// An abstract socket has no permissions: any process of this machine may connect to it.
fn is_this_process(client: &UnixStream) -> bool {
    let peer = client.peer_cred().ok().and_then(|peer| peer.pid());
    peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}

/// The options for the part that sqlx itself does: the startup message, the password, the queries.
fn options(dsn: &Dsn) -> PgConnectOptions {
    let name = dsn.application_name.clone().unwrap_or_else(program);
    // PgBouncer rejects `extra_float_digits`, and servers since 12 do not need it.
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(5432)
        .application_name(&name)
        // Client and server of this connection are one process.
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
    options
}

/// The folder of the proxy's socket. On Linux it is the beginning of an abstract name, which needs no writable file
/// system.
struct Folder(PathBuf);

#[cfg(target_os = "linux")]
impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("\0pilotlight-{}-{:032x}", std::process::id(), crate::random::u128());
        Ok(Self(name.into()))
    }
}

#[cfg(not(target_os = "linux"))]
impl Folder {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = std::env::temp_dir().join(format!("pl-{:016x}", crate::random::u64()));
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
