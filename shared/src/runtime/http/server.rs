//! The life of a plain HTTP server: HTTP/1.1 and h2c, bounded heads, gone peers noticed, a drain with an end.

use super::{connection::Connection, http2};
use crate::{
    deadline::Deadline,
    runtime::{App, Responses},
};
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Version, header},
    response::Response,
};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{rt::TokioTimer, server::conn::auto};
use socket2::{Domain, Socket, Type};
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may take over a request's head, and how long a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// How long open requests may take after SIGTERM: platforms kill at 10 s.
const DRAIN: Duration = Duration::from_secs(8);
/// How long a connection that we close may last: until its client has taken our last words, and stops sending.
const LINGER: Duration = Duration::from_secs(1);
/// How long data may stay unacknowledged on a connection that is not an event stream.
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
pub async fn serve_until(stop: CancellationToken, listener: TcpListener, app: App, responses: Responses) {
    let server = Arc::new(Server {
        app,
        http: protocols(),
        drain: stop.clone(),
        stream_timeout: match responses {
            Responses::Buffered => None,
            // Sent with one heartbeat, given up before the next: the kernel takes half a second more than it is told.
            Responses::Streamed { heartbeat } => Some(heartbeat / 2),
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
    app: App,
    http: auto::Builder<http2::Tasks>,
    drain: CancellationToken,
    /// How long data may stay unacknowledged on an event stream, where the function has any.
    stream_timeout: Option<Duration>,
}

fn protocols() -> auto::Builder<http2::Tasks> {
    let mut http = auto::Builder::new(http2::Tasks);
    // A client may close its half of the connection behind its last request.
    http.http1()
        .half_close(true)
        .header_read_timeout(None)
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
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream);
        connection.set_peer_timeout(PEER_TIMEOUT);
        // In a box, so that a stream does not carry the room for it.
        let end = Box::pin(self.converse(&connection)).await;
        if let Some(stream) = connection.taken_over() {
            if stream.write(&connection).await.is_err() {
                return connection.reset();
            }
        } else if connection.is_broken() {
            return connection.reset();
        } else if end == End::Silence {
            if connection.has_spoken() {
                return;
            }
            let _ = connection.try_write(REQUEST_TIMEOUT);
        }
        let _ = Box::pin(timeout(LINGER, connection.discard())).await;
    }

    /// Answers requests until one side ends the connection. One timer covers heads, idleness and the end, and is looked at
    /// when it fires: a timer for each request would cost as much as its answer.
    async fn converse(self: &Arc<Self>, connection: &Connection) -> End {
        let service = service_fn(|request| Arc::clone(self).answer(request, connection.clone()));
        // In a box of its own: inline, the task would carry it twice.
        let mut http = Box::pin(self.http.serve_connection(connection.clone(), service));
        let mut failure = pin!(connection.failure());
        let mut drain = pin!(self.drain.cancelled());
        let mut timer = pin!(sleep(HEAD_TIMEOUT));
        let mut closing: Option<Instant> = None;
        poll_fn(|cx| {
            loop {
                // An error here is the client's: a malformed head has been answered, a reset is not worth a line.
                if http.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
                let silent_since = connection.silent_since(closing.is_some());
                // With half-closed connections allowed, hyper does not look at one whose request is being answered.
                if silent_since.is_none() && failure.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
                if closing.is_some() || drain.as_mut().poll(cx).is_pending() {
                    let since = silent_since.unwrap_or_else(Instant::now);
                    ready!(match closing {
                        Some(told) => poll_silence(timer.as_mut(), cx, since.max(told), LINGER),
                        None => poll_silence(timer.as_mut(), cx, since, HEAD_TIMEOUT),
                    });
                    if closing.is_some() || !connection.has_spoken() {
                        return Poll::Ready(End::Silence);
                    }
                }
                // Over HTTP/2 the client is told by GOAWAY (RFC 9113, section 6.8).
                http.as_mut().graceful_shutdown();
                closing = Some(Instant::now());
                timer.as_mut().reset(Instant::now() + LINGER);
            }
        })
        .await
    }

    /// Hyper writes all answers but event streams over HTTP/1. Those are taken over: for as long as one lives, hyper would
    /// keep 20 KB of buffers and state for it.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response, TakenOver> {
        let version = request.version();
        let is_head = request.method() == Method::HEAD;
        let open = connection.open_request(version);
        let deadline = Deadline::new(None, self.drain.clone());
        let mut response = self.app.clone().answer(request.map(Body::new), None, deadline).await;
        if version < Version::HTTP_2 && is_early(response.status()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if !is_head && is_event_stream(&response) {
            response.extensions().get().map(http2::end_task_with);
            if let Some(timeout) = self.stream_timeout.filter(|_| version < Version::HTTP_2) {
                *response.version_mut() = version;
                connection.set_peer_timeout(timeout);
                connection.take_over(response);
                return Err(TakenOver);
            }
        }
        Ok(response.map(|body| open.until_end_of(body)))
    }
}

/// Ready when the silence is as long as our patience, and the timer has fired, which may be too early.
fn poll_silence(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>, since: Instant, patience: Duration) -> Poll<()> {
    ready!(timer.as_mut().poll(cx));
    while since.elapsed() < patience {
        timer.as_mut().reset(since + patience);
        ready!(timer.as_mut().poll(cx));
    }
    Poll::Ready(())
}

/// Whether what follows on the connection may be a body that nobody reads.
fn is_early(status: StatusCode) -> bool {
    [StatusCode::BAD_REQUEST, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

/// Whether the answer says when it ends, and not how long it is.
fn is_event_stream(response: &Response) -> bool {
    response.extensions().get::<Deadline>().is_some()
        && response.status() == StatusCode::OK
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
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
