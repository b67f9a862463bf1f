//! The life of a plain HTTP server: HTTP/1.1 and h2c, bounded heads, gone peers noticed, a drain with an end.

use super::{Entrance, Responses, connection::Connection, stream};
use crate::lifetime::Lifetime;
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Version, header},
    response::Response,
};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may take over a request's head, and how long a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const MAX_HEAD: usize = 8 * 1024;
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
pub async fn serve_until(stop: CancellationToken, listener: TcpListener, entrance: Entrance, responses: Responses) {
    let server = Arc::new(Server {
        entrance,
        http: protocols(),
        drain: stop.clone(),
        peer_timeout: match responses {
            Responses::Buffered => PEER_TIMEOUT,
            // Sent with one heartbeat, given up before the next: the kernel takes half a second more than it is told.
            Responses::Streamed { heartbeat } => heartbeat / 2,
        },
    });
    #[cfg(feature = "otel")]
    tokio::spawn(crate::telemetry::otlp::flush_periodically());
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
    #[cfg(feature = "otel")]
    crate::telemetry::otlp::flush().await;
}

struct Server {
    entrance: Entrance,
    http: auto::Builder<TokioExecutor>,
    drain: CancellationToken,
    peer_timeout: Duration,
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(1000)
        .keep_alive_interval(HEAD_TIMEOUT);
    http
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        self.tune(&stream);
        let connection = Connection::new(stream);
        // In a box, so that a stream does not carry the room for it.
        let end = Box::pin(self.converse(&connection)).await;
        if let Some(response) = connection.taken_over() {
            // An error here is the client's, too: it has gone, or does not read.
            let _ = stream::write(&connection, response).await;
            return;
        }
        if end == End::Silence && !connection.is_greeted() {
            connection.say(REQUEST_TIMEOUT);
        }
        if !self.drain.is_cancelled() {
            let _ = Box::pin(timeout(LINGER, connection.discard())).await;
        }
    }

    fn tune(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(self.peer_timeout));
    }

    /// Answers requests until one side ends the connection. One timer covers heads and idleness, and is looked at when it
    /// fires: a timer for each request would cost as much as its answer.
    async fn converse(self: &Arc<Self>, connection: &Connection) -> End {
        let service = service_fn(|request| Arc::clone(self).answer(request, connection.clone()));
        // In a box of its own: inline, the task would carry it twice.
        let mut http = Box::pin(self.http.serve_connection(connection.clone(), service));
        let mut drain = pin!(self.drain.cancelled());
        let mut draining = false;
        let mut timer = pin!(sleep(HEAD_TIMEOUT));
        poll_fn(|cx| {
            // An error here is the client's: a malformed head has been answered, a reset is not worth a line.
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Served);
            }
            if !draining && drain.as_mut().poll(cx).is_ready() {
                draining = true;
                http.as_mut().graceful_shutdown();
                if http.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
            }
            while timer.as_mut().poll(cx).is_ready() {
                let silence = connection.silence().unwrap_or_default();
                if silence >= HEAD_TIMEOUT {
                    return Poll::Ready(End::Silence);
                }
                timer.as_mut().reset(Instant::now() + HEAD_TIMEOUT - silence);
            }
            Poll::Pending
        })
        .await
    }

    /// Hyper writes answers in one piece, and everything of HTTP/2. A stream over HTTP/1.1 is taken over: for as long as it
    /// lives, hyper would keep 20 KB of buffers and state for it.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response, TakenOver> {
        let open = connection.open_request();
        let (version, is_get) = (request.version(), request.method() == Method::GET);
        let lifetime = Lifetime {
            deadline: None,
            drain: self.drain.clone(),
        };
        let mut response = self
            .entrance
            .clone()
            .answer(request.map(Body::new), None, lifetime)
            .await;
        if version < Version::HTTP_2 && response.status() == StatusCode::BAD_REQUEST {
            // What follows on this connection is a body that nobody reads.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let streams = response.body().size_hint().exact().is_none();
        if streams && is_get && version == Version::HTTP_11 {
            connection.take_over(response);
            return Err(TakenOver);
        }
        Ok(response.map(|body| open.until_end_of(body)))
    }
}

/// Tells hyper to leave a connection alone.
#[derive(Debug, thiserror::Error)]
#[error("the connection was taken over")]
struct TakenOver;

/// How a conversation ended.
#[derive(Eq, PartialEq)]
enum End {
    /// By the protocol, or by an error.
    Served,
    /// No head came in time.
    Silence,
}

/// What a client gets that has not sent the head of its first request in time.
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
