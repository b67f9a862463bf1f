//! The HTTP server: HTTP/1.1 and h2c, with limits on request heads, idle connections, dead clients and the drain.

use super::{connection::Connection, http2, request_body};
use crate::{
    deadline::Deadline,
    problem::{self, Problem},
    runtime::{App, Responses},
};
use axum::{
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
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest request head, in bytes: a token of 8 KiB, and as much for the rest.
const MAX_HEAD: usize = 16 * 1024;
/// How long open requests may take after SIGTERM. Platforms kill the process after 10 s.
const DRAIN: Duration = Duration::from_secs(8);
/// How long a connection lingers after the server has closed its half, so that the client can read the end of the answer.
const LINGER: Duration = Duration::from_secs(1);
/// `TCP_USER_TIMEOUT` of a connection that is not an event stream: how long data may stay unacknowledged, or without room
/// for it at the client.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of the bodies of a connection over HTTP/2 waits in memory for handlers that do not read, in bytes. With a smaller
/// window, clients that share a connection among a thousand bodies cut them into so many frames that h2 takes it for a flood.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The same for one body.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Listens with a backlog for bursts of clients. `SO_REUSEADDR` lets a restarted process have its address at once.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop` is cancelled, then drains: open requests have 8 s to end.
pub async fn serve_until(stop: CancellationToken, listener: TcpListener, app: App, responses: Responses) {
    let server = Arc::new(Server {
        app,
        http: protocols(),
        drain: stop.clone(),
        stream_timeout: match responses {
            Responses::Buffered => None,
            // A heartbeat that is not acknowledged ends the connection before the next one. Half the interval, because the
            // kernel fires up to half a second late.
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
            Ok((socket, _)) => drop(connections.spawn(Arc::clone(&server).connection(socket))),
            Err(error) => {
                // Most likely out of file descriptors: wait for open connections to end.
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
    /// `TCP_USER_TIMEOUT` of an event stream; `None` if the function has no streams.
    stream_timeout: Option<Duration>,
}

fn protocols() -> auto::Builder<http2::Tasks> {
    let mut http = auto::Builder::new(http2::Tasks);
    // A client may close its half of the connection after its last request.
    http.http1()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .max_concurrent_streams(1000)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .keep_alive_interval(SILENCE_TIMEOUT);
    http
}

impl Server {
    async fn connection(self: Arc<Self>, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let connection = Connection::new(socket);
        connection.set_peer_timeout(PEER_TIMEOUT);
        // Boxed, so that the memory is free again while an event stream lives.
        let end = Box::pin(self.serve(&connection)).await;
        if let Some(stream) = connection.taken_over() {
            if stream.write(&connection).await.is_err() {
                return connection.reset();
            }
        } else if connection.is_broken() {
            return connection.reset();
        } else if end == End::Silence {
            if connection.has_written() {
                return;
            }
            let _ = connection.try_write(REQUEST_TIMEOUT);
        }
        let _ = Box::pin(timeout(LINGER, connection.discard())).await;
    }

    /// Answers requests until one side ends the connection. One timer covers heads, idle times and the end. It is not reset
    /// for each request, which would cost as much as the answer: when it fires, `poll_silence` compares times.
    async fn serve(self: &Arc<Self>, connection: &Connection) -> End {
        let service = service_fn(|request| Arc::clone(self).answer(request, connection.clone()));
        // Boxed separately: inline, the task would reserve room for it twice.
        let mut http = Box::pin(self.http.serve_connection(connection.clone(), service));
        let mut failure = pin!(connection.failure());
        let mut drain = pin!(self.drain.cancelled());
        let mut timer = pin!(sleep(SILENCE_TIMEOUT));
        let mut closing: Option<Instant> = None;
        poll_fn(|cx| {
            loop {
                // Errors here are the client's: a malformed head has been answered, a reset needs no log record.
                if http.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
                let silent_since = connection.silent_since(closing.is_some());
                // As half-closed connections are allowed, hyper does not notice a reset while it answers a request.
                if silent_since.is_none() && failure.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
                if closing.is_some() || drain.as_mut().poll(cx).is_pending() {
                    let since = silent_since.unwrap_or_else(Instant::now);
                    ready!(match closing {
                        Some(start) => poll_silence(timer.as_mut(), cx, since.max(start), LINGER),
                        None => poll_silence(timer.as_mut(), cx, since, SILENCE_TIMEOUT),
                    });
                    if closing.is_some() || !connection.has_written() {
                        return Poll::Ready(End::Silence);
                    }
                }
                // Over HTTP/2 this sends GOAWAY (RFC 9113, section 6.8).
                http.as_mut().graceful_shutdown();
                closing = Some(Instant::now());
                timer.as_mut().reset(Instant::now() + LINGER);
            }
        })
        .await
    }

    /// Hyper writes all answers except event streams over HTTP/1. Those are taken over, because hyper would hold 20 KB of
    /// buffers and state for each of them until its end.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response, TakenOver> {
        let version = request.version();
        let is_head = request.method() == Method::HEAD;
        let open = connection.open_request(version);
        let deadline = Deadline::new(None, self.drain.clone());
        let app = if request_body::is_decoded(request.headers()) {
            self.app.clone()
        } else {
            App::refusing(Problem::new(&problem::UNSUPPORTED_CODING))
        };
        let (request, reading) = request_body::watch(request);
        let mut response = app.answer(request, None, deadline).await;
        if version < Version::HTTP_2 && reading.abandoned() {
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
            return Ok(response.map(|body| open.until_end_of(body)));
        }
        Ok(response.map(|body| http2::end_task_if_stalled(open.until_end_of(body))))
    }
}

/// Ready when the silence has lasted for `limit`. The timer may have been set for an earlier silence: it is set again then.
fn poll_silence(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>, since: Instant, limit: Duration) -> Poll<()> {
    ready!(timer.as_mut().poll(cx));
    while since.elapsed() < limit {
        timer.as_mut().reset(since + limit);
        ready!(timer.as_mut().poll(cx));
    }
    Poll::Ready(())
}

/// Whether the answer has a [`Deadline`] and no length.
fn is_event_stream(response: &Response) -> bool {
    response.extensions().get::<Deadline>().is_some()
        && response.status() == StatusCode::OK
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
}

/// Makes hyper stop serving a connection without writing to it.
#[derive(Debug, thiserror::Error)]
#[error("the connection was taken over")]
struct TakenOver;

/// Why hyper no longer serves a connection.
#[derive(Eq, PartialEq)]
enum End {
    /// The protocol, or an error, ended it.
    Served,
    /// No request head arrived in time.
    Silence,
}

/// The answer to a client whose first request head does not arrive in time.
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
