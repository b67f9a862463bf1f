//! The life of a plain HTTP server: HTTP/1.1 and h2c, bounded heads, gone peers noticed, a drain with an end.

use super::{Responses, request};
use crate::lifetime::Lifetime;
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, Version, header},
};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may take over a request's head, and how long a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// How long open requests may take after SIGTERM: platforms kill at 10 s.
const DRAIN: Duration = Duration::from_secs(8);
/// How long a client that we hang up on may go on sending.
const LINGER: Duration = Duration::from_secs(1);
/// How long data may stay unacknowledged on a connection without streams.
const PEER_TIMEOUT: Duration = Duration::from_secs(15);

/// Listens with a backlog that a burst of clients fits into, on an address that a process just left.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop` is cancelled, then until every request is answered, for 8 s at most.
pub async fn serve_until(stop: CancellationToken, listener: TcpListener, router: Router, responses: Responses) {
    let server = Arc::new(Server {
        router: request::complete(router),
        http: protocols(),
        drain: stop.clone(),
        peer_timeout: match responses {
            Responses::Buffered => PEER_TIMEOUT,
            // Sent with one heartbeat, given up before the next: the kernel takes half a second more than it is told.
            Responses::Streamed { heartbeat } => heartbeat / 2,
        },
    });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(Arc::clone(&server).connection(stream))),
            Err(error) => {
                // Out of file descriptors, most likely: those that are open must end first.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections cut at the end of the drain");
    }
}

struct Server {
    router: Router,
    http: auto::Builder<TokioExecutor>,
    drain: CancellationToken,
    peer_timeout: Duration,
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // After ours, which says 408 for the first head.
        .header_read_timeout(HEAD_TIMEOUT + Duration::from_millis(500))
        .max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(1000)
        .keep_alive_interval(HEAD_TIMEOUT);
    http
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let stream = Arc::new(stream);
        self.tune(&stream);
        let greeted = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (server, greeted) = (Arc::clone(&self), Arc::clone(&greeted));
            move |request: hyper::Request<Incoming>| {
                greeted.store(true, Ordering::Relaxed);
                let lifetime = Lifetime {
                    deadline: None,
                    drain: server.drain.clone(),
                };
                let router = server.router.clone();
                async move {
                    let http1 = request.version() < Version::HTTP_2;
                    let mut response = request::answer(router, request.map(Body::new), None, lifetime).await;
                    if http1 && response.status() == StatusCode::BAD_REQUEST {
                        // What follows on this connection is a body that nobody reads.
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let mut connection = pin!(self.http.serve_connection(Io(Arc::clone(&stream)), service));
        let mut greeting = Some(Box::pin(sleep(HEAD_TIMEOUT)));
        let mut draining = false;
        loop {
            tokio::select! {
                // An error here is the client's: a malformed head has been answered, a reset is not worth a line.
                _ = connection.as_mut() => break,
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = async { greeting.as_mut().expect("guarded").await }, if greeting.is_some() => {
                    greeting = None;
                    if !greeted.load(Ordering::Relaxed) {
                        let _ = stream.try_write(REQUEST_TIMEOUT);
                        break;
                    }
                }
            }
        }
        if !draining {
            let _ = timeout(LINGER, discard(&stream)).await;
        }
    }

    fn tune(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(self.peer_timeout));
    }
}

/// Reads what a client still sends, for a moment: closing on unread bytes would reset the connection, and the answer that
/// says why with it.
async fn discard(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
    let mut bytes = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// What a client gets that has not sent the head of its first request in time.
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A socket that hyper reads and writes while the connection's task can still say its last word.
struct Io(Arc<TcpStream>);

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut chunk = [0; 4096];
            let room = chunk.len().min(buffer.remaining());
            match self.0.try_read(&mut chunk[..room]) {
                Ok(read) => {
                    buffer.put_slice(&chunk[..read]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(parts) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}
