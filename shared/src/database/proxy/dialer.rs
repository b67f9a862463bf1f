//! One way to a server at a time: TCP or a socket, encrypted or not.

use super::{
    Fault, Patience,
    messages::{SSL_REQUEST, cancel_request, with_parameters},
    tls::Encryptor,
};
use crate::database::settings::{Dsn, Host, Keepalive};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
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
    pub dsn: Dsn,
    /// `statement_timeout` of its sessions, where the server takes one before a session has begun. A pooler does not.
    bound: Option<String>,
    bound_was_refused: AtomicBool,
}

/// One way to try.
#[derive(Clone)]
pub(super) struct Route {
    pub place: Place,
    pub encryption: Encryption,
}

/// Where a server is.
#[derive(Clone)]
pub(super) enum Place {
    Tcp { address: SocketAddr, name: String },
    Socket(PathBuf),
}

/// Whether a connection is to be encrypted.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Encryption {
    None,
    IfOffered,
    Required,
}

impl Dialer {
    pub fn new(dsn: &Dsn, patience: &Patience) -> Self {
        const NAME: &str = "statement_timeout";
        let is_set = dsn.startup.iter().any(|(_, value)| value.contains(NAME));
        let bound = match patience {
            Patience::Each(each) if !is_set => Some(each.as_millis().to_string()),
            _ => None,
        };
        Self {
            dsn: dsn.clone(),
            bound,
            bound_was_refused: AtomicBool::new(false),
        }
    }

    /// `statement_timeout` for the next session, unless this server has refused one.
    pub fn bound(&self) -> Option<&str> {
        let bound = self.bound.as_deref();
        bound.filter(|_| !self.bound_was_refused.load(Ordering::Relaxed))
    }

    /// A startup message with the parameters of this server.
    pub fn startup(&self, message: &[u8], bound: Option<&str>) -> Vec<u8> {
        let parameters = self.dsn.startup.iter().map(|(name, value)| (*name, value.as_str()));
        with_parameters(
            message,
            parameters.chain(bound.map(|bound| ("statement_timeout", bound))),
        )
    }

    /// No session has a bound from now on.
    pub fn give_up_bound(&self) {
        self.bound_was_refused.store(true, Ordering::Relaxed);
    }

    /// A stream, and the route with what became of its encryption. `accepted` is called once the server has the connection.
    pub async fn connect(&self, route: Route, accepted: impl FnOnce()) -> Result<(Stream, Route), Fault> {
        let (address, name) = match &route.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).await?;
                accepted();
                return Ok((Box::new(stream), route));
            }
            Place::Tcp { address, name } => (*address, name),
        };
        let encryptor = match route.encryption {
            Encryption::None => None,
            _ => Some(Encryptor::new(&self.dsn.tls)?),
        };
        let mut stream = TcpStream::connect(address).await?;
        accepted();
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
            let (mut stream, _) = self.connect(route.clone(), || ()).await?;
            stream.write_all(&cancel_request(key)).await?;
            stream.flush().await?;
            // The server ends the connection once it has told the session.
            let _end = stream.read(&mut [0]).await?;
            Ok::<_, Fault>(())
        };
        let _ = timeout(Duration::from_secs(1), cancel).await;
    }
}

/// The addresses of a host.
pub(super) async fn places(host: &Host) -> Result<Vec<Place>, Fault> {
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
