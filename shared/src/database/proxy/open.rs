//! Opens a session as libpq does: host after host, address after address, encrypted or not as `sslmode` has it.

use super::{
    Fault,
    dialer::{Dialer, Encryption, Place, Route, Stream, places},
    messages::greeting,
};
use crate::database::settings::{Host, SslMode};
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};

/// A session to open.
pub(super) struct Opening<'a> {
    pub dialer: &'a Dialer,
    /// The startup message.
    pub startup: &'a [u8],
    /// Has a server accepted a connection, and may be at work on it?
    pub engaged: watch::Sender<bool>,
}

/// A server that has begun to answer.
pub(super) struct Opened {
    pub stream: Stream,
    /// How it was reached.
    pub route: Route,
    /// Its first message.
    pub greeting: Vec<u8>,
}

impl Opening<'_> {
    /// The first server that takes the startup message.
    ///
    /// # Errors
    /// What the last one said; or why none could be asked.
    pub async fn open(self) -> Result<Opened, Fault> {
        let dsn = &self.dialer.dsn;
        let mut hosts: Vec<&Host> = dsn.hosts.iter().collect();
        if dsn.shuffle {
            fastrand::shuffle(&mut hosts);
        }
        let mut fault = Fault::Unreachable("the host name has no address".to_owned());
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

    /// The first of a host's addresses. The error is that of the last one, if there is any.
    async fn open_host(&self, host: &Host) -> Result<Opened, Option<Fault>> {
        let mut fault = None;
        for place in places(host).await.map_err(Some)? {
            match self.open_place(&place).await {
                Err(other) if !is_final(&other) => fault = Some(other),
                done => return done.map_err(Some),
            }
        }
        Err(fault)
    }

    /// `allow` and `prefer` have a second way, for a server that wants the first one encrypted, or not.
    async fn open_place(&self, place: &Place) -> Result<Opened, Fault> {
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

    async fn attempt(&self, place: &Place, encryption: Encryption) -> Result<Opened, Fault> {
        let route = Route {
            place: place.clone(),
            encryption,
        };
        let bound = self.dialer.bound();
        let mut greeted = self.greet_in_time(route.clone(), bound).await;
        // Each of the sessions that are opened at the same time is refused, and tries again.
        if bound.is_some() && greeted.as_ref().is_err_and(|fault| fault.says("statement_timeout")) {
            self.dialer.give_up_bound();
            greeted = self.greet_in_time(route, None).await;
        }
        self.engaged.send_replace(greeted.is_ok());
        greeted
    }

    async fn greet_in_time(&self, route: Route, bound: Option<&str>) -> Result<Opened, Fault> {
        let Some(patience) = self.dialer.dsn.connect_timeout else {
            return self.greet(route, bound).await;
        };
        let greeted = timeout(patience, self.greet(route, bound)).await;
        greeted.unwrap_or(Err(Fault::Timeout("connect_timeout has passed")))
    }

    async fn greet(&self, route: Route, bound: Option<&str>) -> Result<Opened, Fault> {
        let accepted = || self.engaged.send_modify(|engaged| *engaged = true);
        let (mut stream, route) = self.dialer.connect(route, accepted).await?;
        stream.write_all(&self.dialer.startup(self.startup, bound)).await?;
        stream.flush().await?;
        let greeting = greeting(&mut stream).await?;
        if greeting[0] == b'E' {
            return Err(Fault::Rejected(greeting));
        }
        Ok(Opened {
            stream,
            route,
            greeting,
        })
    }
}

/// A server that refuses is the right one, unless it is just starting up, or a standby that takes nobody.
fn is_final(fault: &Fault) -> bool {
    const CANNOT_CONNECT_NOW: &[u8] = b"57P03";
    fault.code().is_some_and(|code| code != CANNOT_CONNECT_NOW)
}

/// A refusal that encryption, or none, may get around: by `pg_hba.conf`, by a pooler, by a handshake that failed.
fn is_about_encryption(fault: &Fault) -> bool {
    let is_about = |code: &[u8]| code == b"28000" || code.starts_with(b"08");
    matches!(fault, Fault::Tls(_)) || fault.code().is_some_and(is_about)
}
