//! Opens a session as libpq does: tries each host, each address of it, and each encryption that `sslmode` allows.

use super::{
    ProxyError,
    dialer::{Connection, Dialer, Encryption, Place, Route, places},
    messages::greeting,
};
use crate::{
    database::settings::{Host, SslMode},
    random,
};
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};

/// A session to open.
pub(super) struct Opening<'a> {
    pub dialer: &'a Dialer,
    /// The startup message.
    pub startup: &'a [u8],
    /// Whether a server has accepted the connection, so that a session may exist there.
    pub engaged: watch::Sender<bool>,
}

/// A connection on which the server has accepted the startup message.
pub(super) struct Opened {
    pub stream: Connection,
    /// How the server was reached.
    pub route: Route,
    /// The server's first message.
    pub greeting: Vec<u8>,
}

impl Opening<'_> {
    /// Returns the first server that accepts the startup message.
    ///
    /// # Errors
    /// The error of the last server; or why none was reached.
    pub async fn open(self) -> Result<Opened, ProxyError> {
        let dsn = &self.dialer.dsn;
        let mut hosts: Vec<&Host> = dsn.hosts.iter().collect();
        if dsn.shuffle {
            hosts.sort_by_cached_key(|_| random::u64());
        }
        let mut fault = ProxyError::Unreachable("the host name has no address".to_owned());
        for host in hosts {
            match self.open_host(host).await {
                Err(Some(other)) if !is_final(&other) => fault = other,
                Err(None) => {}
                Ok(opened) => return Ok(opened),
                Err(Some(other)) => return Err(other),
            }
        }
        Err(fault)
    }

    /// Tries the addresses of a host. The error is that of the last address, `None` if the host has no address.
    async fn open_host(&self, host: &Host) -> Result<Opened, Option<ProxyError>> {
        let mut fault = None;
        for place in places(host).await.map_err(Some)? {
            match self.open_place(&place).await {
                Err(other) if !is_final(&other) => fault = Some(other),
                done => return done.map_err(Some),
            }
        }
        Err(fault)
    }

    /// With `allow` and `prefer`, tries the opposite encryption if the server rejects the first attempt because of it.
    async fn open_place(&self, place: &Place) -> Result<Opened, ProxyError> {
        let (first, second) = self.encryptions(place);
        let fault = match self.attempt(place, first).await {
            Err(fault) if is_about_encryption(&fault) => fault,
            done => return done,
        };
        match second {
            Some(second) => self.attempt(place, second).await.map_err(|_| fault),
            None => Err(fault),
        }
    }

    fn encryptions(&self, place: &Place) -> (Encryption, Option<Encryption>) {
        match (place, self.dialer.dsn.tls.mode) {
            (Place::Socket(_), _) | (_, SslMode::Disable) => (Encryption::None, None),
            (_, SslMode::Allow) => (Encryption::None, Some(Encryption::Required)),
            (_, SslMode::Prefer) => (Encryption::IfOffered, Some(Encryption::None)),
            _ => (Encryption::Required, None),
        }
    }

    async fn attempt(&self, place: &Place, encryption: Encryption) -> Result<Opened, ProxyError> {
        let route = Route {
            place: place.clone(),
            encryption,
        };
        let statement_timeout = self.dialer.statement_timeout();
        let mut greeted = self.greet_in_time(route.clone(), statement_timeout).await;
        // Sessions that open at the same time are all rejected, and each tries again.
        if statement_timeout.is_some() && greeted.as_ref().is_err_and(|fault| fault.says("statement_timeout")) {
            self.dialer.omit_statement_timeout();
            greeted = self.greet_in_time(route, None).await;
        }
        self.engaged.send_replace(greeted.is_ok());
        greeted
    }

    async fn greet_in_time(&self, route: Route, statement_timeout: Option<&str>) -> Result<Opened, ProxyError> {
        let Some(connect_timeout) = self.dialer.dsn.connect_timeout else {
            return self.greet(route, statement_timeout).await;
        };
        let greeted = timeout(connect_timeout, self.greet(route, statement_timeout)).await;
        greeted.unwrap_or(Err(ProxyError::Timeout("connect_timeout has passed")))
    }

    async fn greet(&self, route: Route, statement_timeout: Option<&str>) -> Result<Opened, ProxyError> {
        let accepted = || self.engaged.send_modify(|engaged| *engaged = true);
        let (mut stream, route) = self.dialer.connect(route, accepted).await?;
        stream
            .write_all(&self.dialer.startup(self.startup, statement_timeout))
            .await?;
        stream.flush().await?;
        let greeting = greeting(&mut stream).await?;
        if greeting[0] == b'E' {
            return Err(ProxyError::Rejected(greeting));
        }
        Ok(Opened {
            stream,
            route,
            greeting,
        })
    }
}

/// A rejection by a server ends the search, unless that server is starting up or is a standby without connections.
fn is_final(fault: &ProxyError) -> bool {
    const CANNOT_CONNECT_NOW: &[u8] = b"57P03";
    fault.code().is_some_and(|code| code != CANNOT_CONNECT_NOW)
}

/// Whether the opposite encryption may help: after a rejection by `pg_hba.conf` or a pooler, and after a failed
/// handshake.
fn is_about_encryption(fault: &ProxyError) -> bool {
    let is_about = |code: &[u8]| code == b"28000" || code.starts_with(b"08");
    matches!(fault, ProxyError::Tls(_)) || fault.code().is_some_and(is_about)
}
