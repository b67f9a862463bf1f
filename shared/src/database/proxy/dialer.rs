//! Connects to one address of a server, by TCP or a Unix socket, with TLS or without; sends cancel requests.

use super::{
    ProxyError, RequestTimeout,
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

/// A connection to a server.
pub(super) type Connection = Box<dyn Socket>;

/// Connects, and cancels requests.
pub(super) struct Dialer {
    pub dsn: Dsn,
    /// `statement_timeout` for the startup message. Servers accept it there, some poolers do not.
    statement_timeout: Option<String>,
    timeout_was_rejected: AtomicBool,
}

/// An address, and how to connect to it.
#[derive(Clone)]
pub(super) struct Route {
    pub place: Place,
    pub encryption: Encryption,
}

/// The address of a server.
#[derive(Clone)]
pub(super) enum Place {
    Tcp { address: SocketAddr, name: String },
    Socket(PathBuf),
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Encryption {
    None,
    IfOffered,
    Required,
}

impl Dialer {
    pub fn new(dsn: &Dsn, timeout: &RequestTimeout) -> Self {
        let is_set = dsn.startup.iter().any(|(_, value)| value.contains("statement_timeout"));
        let statement_timeout = match timeout {
            RequestTimeout::Each(each) if !is_set => Some(each.as_millis().to_string()),
            _ => None,
        };
        Self {
            dsn: dsn.clone(),
            statement_timeout,
            timeout_was_rejected: AtomicBool::new(false),
        }
    }

    /// The `statement_timeout` for the next startup message; `None` once a server has rejected one.
    pub fn statement_timeout(&self) -> Option<&str> {
        let statement_timeout = self.statement_timeout.as_deref();
        statement_timeout.filter(|_| !self.timeout_was_rejected.load(Ordering::Relaxed))
    }

    /// A startup message with the parameters of the connection string.
    pub fn startup(&self, message: &[u8], statement_timeout: Option<&str>) -> Vec<u8> {
        let parameters = self.dsn.startup.iter().map(|(name, value)| (*name, value.as_str()));
        with_parameters(
            message,
            parameters.chain(statement_timeout.map(|timeout| ("statement_timeout", timeout))),
        )
    }

    /// Sends no `statement_timeout` in startup messages from now on.
    pub fn omit_statement_timeout(&self) {
        self.timeout_was_rejected.store(true, Ordering::Relaxed);
    }

    /// Connects. The returned route has the encryption that the server agreed to. Calls `accepted` once the server has
    /// accepted the connection.
    pub async fn connect(&self, route: Route, accepted: impl FnOnce()) -> Result<(Connection, Route), ProxyError> {
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
        let (stream, encryption): (Connection, _) = match encryptor {
            Some(encryptor) if self.is_offered(&mut stream, route.encryption).await? => {
                let stream = encryptor.handshake(stream, name, address.ip()).await?;
                (Box::new(stream), Encryption::Required)
            }
            _ => (Box::new(stream), Encryption::None),
        };
        Ok((stream, Route { encryption, ..route }))
    }

    /// Whether the server offers TLS. Reads exactly one byte, because unencrypted bytes after it may come from somebody
    /// else than the server (CVE-2021-23222).
    async fn is_offered(&self, stream: &mut TcpStream, encryption: Encryption) -> Result<bool, ProxyError> {
        if self.dsn.tls.direct {
            return Ok(true);
        }
        stream.write_all(&SSL_REQUEST).await?;
        match stream.read_u8().await? {
            b'S' => Ok(true),
            b'N' if encryption == Encryption::IfOffered => Ok(false),
            b'N' => Err(ProxyError::Tls("the server does not support TLS".to_owned())),
            _ => Err(ProxyError::Protocol(
                "the server does not know what an SSLRequest is".to_owned(),
            )),
        }
    }

    /// Cancels the running request of a session. A CancelRequest needs a second connection (PostgreSQL, 55.2.7).
    pub async fn cancel(&self, route: &Route, key: &[u8]) {
        let cancel = async {
            let (mut stream, _) = self.connect(route.clone(), || ()).await?;
            stream.write_all(&cancel_request(key)).await?;
            stream.flush().await?;
            // The server closes the connection once it has signalled the session.
            let _end = stream.read(&mut [0]).await?;
            Ok::<_, ProxyError>(())
        };
        let _ = timeout(Duration::from_secs(1), cancel).await;
    }
}

/// The addresses of a host.
pub(super) async fn places(host: &Host) -> Result<Vec<Place>, ProxyError> {
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

/// An abstract name begins with a zero byte, for which libpq writes `@`.
fn with_abstract_name(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => format!("\0{name}").into(),
        None => path.to_owned(),
    }
}

/// The messages of the protocol are small and wait for answers: without TCP_NODELAY each would wait for an
/// acknowledgement.
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
