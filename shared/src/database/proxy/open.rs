//! Opens a session as libpq does: host after host, address after address, encrypted or not as `sslmode` has it.

use super::{
    Fault,
    messages::{SSL_REQUEST, cancel_request, greeting},
    tls::Encryptor,
};
use crate::config::{Dsn, Host, Keepalive, SslMode};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};

pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// The way to a server.
pub(super) type Stream = Box<dyn Socket>;

/// Opens sessions, and cancels what they are at.
pub(super) struct Dialer {
    dsn: Dsn,
}

/// One way to try.
#[derive(Clone)]
pub(super) struct Route {
    place: Place,
    encryption: Encryption,
}

#[derive(Clone)]
enum Place {
    Tcp { address: SocketAddr, name: String },
    Socket(PathBuf),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Encryption {
    None,
    IfOffered,
    Required,
}

/// A server that has begun to answer.
pub(super) struct Opened {
    pub stream: Stream,
    /// How it was reached.
    pub route: Route,
    /// Its first message.
    pub greeting: Vec<u8>,
}

impl Dialer {
    pub fn new(dsn: Dsn) -> Self {
        Self { dsn }
    }

    /// Further parameters of the startup message.
    pub fn parameters(&self) -> &[(&'static str, String)] {
        &self.dsn.startup
    }

    /// The first server that takes this startup message.
    ///
    /// # Errors
    /// What the last one said; or why none could be asked.
    pub async fn open(&self, startup: &[u8]) -> Result<Opened, Fault> {
        const CANNOT_CONNECT_NOW: &[u8] = b"57P03";
        let mut hosts: Vec<&Host> = self.dsn.hosts.iter().collect();
        if self.dsn.shuffle {
            fastrand::shuffle(&mut hosts);
        }
        let mut found = Fault::Unreachable("the host name has no address".to_owned());
        for host in hosts {
            let places = match places(host).await {
                Ok(places) => places,
                Err(fault) => {
                    found = fault;
                    continue;
                }
            };
            for place in places {
                match self.open_at(place, startup).await {
                    Ok(opened) => return Ok(opened),
                    Err(fault) => found = fault,
                }
                // A server that refuses is the right one, unless it is just starting up or a standby.
                if found.code().is_some_and(|code| code != CANNOT_CONNECT_NOW) {
                    return Err(found);
                }
            }
        }
        Err(found)
    }

    /// `allow` and `prefer` have a second way, for a server that wants the first one encrypted, or not.
    async fn open_at(&self, place: Place, startup: &[u8]) -> Result<Opened, Fault> {
        let mut fault = None;
        for encryption in self.encryptions(&place) {
            let route = Route {
                place: place.clone(),
                encryption: *encryption,
            };
            let attempt = self.attempt(route, startup);
            let attempt = match self.dsn.connect_timeout {
                Some(patience) => timeout(patience, attempt)
                    .await
                    .unwrap_or(Err(Fault::Timeout("connect_timeout has passed"))),
                None => attempt.await,
            };
            match attempt {
                Err(other) if is_about_encryption(&other) => fault = fault.or(Some(other)),
                done => return done.map_err(|other| fault.unwrap_or(other)),
            }
        }
        Err(fault.unwrap_or_else(|| Fault::Unreachable("no way to the server".to_owned())))
    }

    fn encryptions(&self, place: &Place) -> &'static [Encryption] {
        use Encryption::{IfOffered, None, Required};
        match (place, self.dsn.tls.mode) {
            (Place::Socket(_), _) | (_, SslMode::Disable) => &[None],
            (_, SslMode::Allow) => &[None, Required],
            (_, SslMode::Prefer) => &[IfOffered, None],
            _ => &[Required],
        }
    }

    async fn attempt(&self, route: Route, startup: &[u8]) -> Result<Opened, Fault> {
        let (mut stream, route) = self.connect(route).await?;
        stream.write_all(startup).await?;
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

    /// A stream, and the route with what became of its encryption.
    async fn connect(&self, route: Route) -> Result<(Stream, Route), Fault> {
        let (address, name) = match &route.place {
            Place::Socket(path) => return Ok((Box::new(UnixStream::connect(path).await?), route)),
            Place::Tcp { address, name } => (*address, name),
        };
        let encryptor = match route.encryption {
            Encryption::None => None,
            _ => Some(Encryptor::new(&self.dsn.tls)?),
        };
        let mut stream = TcpStream::connect(address).await?;
        prepare(&stream, &self.dsn.keepalive)?;
        let (stream, encryption): (Stream, _) = match encryptor {
            Some(encryptor) if self.is_offered(&mut stream, route.encryption).await? => {
                let stream = encryptor.handshake(stream, name, address.ip()).await?;
                (Box::new(stream), Encryption::Required)
            }
            _ => (Box::new(stream), Encryption::None),
        };
        Ok((stream, Route { encryption, ..route }))
    }

    /// Exactly one byte is read: what comes with it in the clear is not the server's (CVE-2021-23222).
    async fn is_offered(&self, stream: &mut TcpStream, encryption: Encryption) -> Result<bool, Fault> {
        if self.dsn.tls.direct {
            return Ok(true);
        }
        stream.write_all(&SSL_REQUEST).await?;
        match stream.read_u8().await? {
            b'S' => Ok(true),
            b'N' if encryption == Encryption::IfOffered => Ok(false),
            b'N' => Err(Fault::Tls("the server does not support TLS".to_owned())),
            _ => Err(Fault::Protocol(
                "the server does not know what an SSLRequest is".to_owned(),
            )),
        }
    }

    /// Asks the server of a session to end what it is at, by a connection of its own, as the protocol has it (55.2.7).
    pub async fn cancel(&self, route: &Route, key: &[u8]) {
        let cancel = async {
            let (mut stream, _) = self.connect(route.clone()).await?;
            stream.write_all(&cancel_request(key)).await?;
            stream.flush().await?;
            // The server ends the connection once it has told the session.
            stream.read(&mut [0]).await?;
            Ok::<_, Fault>(())
        };
        let _ = timeout(Duration::from_secs(1), cancel).await;
    }
}

/// A refusal that encryption, or none, may get around: by `pg_hba.conf`, by a pooler, by a handshake that failed.
fn is_about_encryption(fault: &Fault) -> bool {
    matches!(fault, Fault::Tls(_))
        || fault
            .code()
            .is_some_and(|code| code == b"28000" || code.starts_with(b"08"))
}

async fn places(host: &Host) -> Result<Vec<Place>, Fault> {
    let (name, address, port) = match host {
        Host::Socket(path) => return Ok(vec![Place::Socket(with_abstract_name(path))]),
        Host::Tcp { name, address, port } => (name, address, *port),
    };
    let place = |address| Place::Tcp {
        address,
        name: name.clone(),
    };
    if let Some(address) = address {
        return Ok(vec![place(SocketAddr::new(*address, port))]);
    }
    Ok(lookup_host((name.as_str(), port)).await?.map(place).collect())
}

/// libpq writes `@` for the zero byte that an abstract name begins with.
fn with_abstract_name(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => format!("\0{name}").into(),
        None => path.to_owned(),
    }
}

/// The protocol has small messages that wait for answers: without TCP_NODELAY each would wait for an acknowledgement.
fn prepare(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(keepalive.unacknowledged))?;
    if !keepalive.enabled {
        return Ok(());
    }
    let mut probes = socket2::TcpKeepalive::new();
    if let Some(idle) = keepalive.idle {
        probes = probes.with_time(idle);
    }
    if let Some(interval) = keepalive.interval {
        probes = probes.with_interval(interval);
    }
    if let Some(count) = keepalive.count {
        probes = probes.with_retries(count);
    }
    socket.set_tcp_keepalive(&probes)
}
