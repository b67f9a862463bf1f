//! One connection of a client: its socket, its requests, its silence and its end.

use super::chunked::EventStream;
use crate::runtime::on_end::{self, OnEnd};
use axum::{Error, body::Body, http::Version, response::Response};
use hyper::{
    body::Body as _,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::{
    future, io,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};

/// A handle of the connection, for hyper, for its task and for each of its requests. Its locks are free whenever one of
/// them asks, because they share a thread.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    reader: Mutex<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    activity: Mutex<Activity>,
}

struct Activity {
    /// Requests that are being answered.
    open: usize,
    /// Since when there are none.
    idle_since: Instant,
    /// When something was last written.
    written: Option<Instant>,
    /// Whether its requests are those of HTTP/1.
    http1: bool,
    /// Whether an answer broke off that the client would take for whole after an orderly close.
    broken: bool,
    /// A response that hyper does not write.
    taken_over: Option<Box<EventStream>>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self(Arc::new(Shared {
            reader: Mutex::new(reader),
            writer,
            activity: Mutex::new(Activity {
                open: 0,
                idle_since: Instant::now(),
                written: None,
                http1: false,
                broken: false,
                taken_over: None,
            }),
        }))
    }

    /// For as long as the guard lives, a request is being answered.
    pub fn open_request(&self, version: Version) -> OpenRequest {
        let mut activity = self.activity();
        activity.open += 1;
        activity.http1 = version < Version::HTTP_2;
        OpenRequest {
            connection: self.clone(),
            close_delimited: version == Version::HTTP_10,
        }
    }

    /// Since when the client has owed a whole head, or has taken nothing of its answer; `None` while a request is being
    /// answered. Over HTTP/2, pings are written too: what is written counts on a connection that is `closing` alone.
    pub fn silent_since(&self, closing: bool) -> Option<Instant> {
        let activity = self.activity();
        let written = activity.written.filter(|_| activity.http1 || closing);
        (activity.open == 0).then(|| written.map_or(activity.idle_since, |written| written.max(activity.idle_since)))
    }

    /// Whether the client was ever written to.
    pub fn has_spoken(&self) -> bool {
        self.activity().written.is_some()
    }

    /// Whether the client must be told by a reset that an answer broke off.
    pub fn is_broken(&self) -> bool {
        self.activity().broken
    }

    /// Takes a response away from hyper: whatever serves the connection must end now, and not write.
    pub fn take_over(&self, response: Response) {
        self.activity().taken_over = Some(Box::new(response.into()));
    }

    /// The response that was taken over, if one was.
    pub fn taken_over(&self) -> Option<Box<EventStream>> {
        self.activity().taken_over.take()
    }

    /// Ready when the client closes its half of the connection. What it sends before that is read and dropped: a close
    /// behind it would go unnoticed.
    pub fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut *self.reader()).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Returns when the connection fails: by a reset, or because the client acknowledges nothing. A client that closes its
    /// half may still wait for its answer.
    pub async fn failure(&self) {
        let stream: &TcpStream = self.0.writer.as_ref();
        while stream.ready(Interest::ERROR).await.is_ok_and(|ready| !ready.is_error()) {}
    }

    /// Writes what the socket takes at once; how much that was.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.writer.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes all of it, as fast as the client reads.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            written += future::poll_fn(|cx| self.poll_send(cx, |writer| writer.try_write(&bytes[written..]))).await?;
        }
        Ok(())
    }

    /// Reads what the client still sends, until it closes: closing on unread bytes would reset the connection, and take
    /// the end of the answer with it.
    pub async fn discard(self) {
        if SockRef::from(self.0.writer.as_ref()).shutdown(Shutdown::Write).is_ok() {
            future::poll_fn(|cx| self.poll_hang_up(cx)).await;
        }
    }

    /// Ends the connection with a reset, where an orderly close would tell the client that all is well.
    pub fn reset(self) {
        let _ = SockRef::from(self.0.writer.as_ref()).set_linger(Some(Duration::ZERO));
        if let Some(shared) = Arc::into_inner(self.0) {
            // Dropping this half would close in order first.
            shared.writer.forget();
        }
    }

    /// How long the client may leave unacknowledged what was written to it.
    pub fn set_peer_timeout(&self, timeout: Duration) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(self.0.writer.as_ref()).set_tcp_user_timeout(Some(timeout));
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let writer = &self.0.writer;
        loop {
            ready!(writer.as_ref().poll_write_ready(cx))?;
            match send(writer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.activity().written = Some(Instant::now());
                    return Poll::Ready(sent);
                }
            }
        }
    }

    fn reader(&self) -> MutexGuard<'_, OwnedReadHalf> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub struct OpenRequest {
    connection: Connection,
    /// Whether the end of the answer is that of its connection, unless it has a `Content-Length`.
    close_delimited: bool,
}

impl OpenRequest {
    /// Stays open until the body ends, where the body is not in one piece.
    pub fn until_end_of(self, body: Body) -> Body {
        if body.size_hint().exact().is_some() {
            body
        } else {
            on_end::attach(body, None, || Box::new(self))
        }
    }
}

impl OnEnd for OpenRequest {
    fn failed(&mut self, _: &Error) {
        self.connection.activity().broken |= self.close_delimited;
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut activity = self.connection.activity();
        activity.open -= 1;
        activity.idle_since = Instant::now();
    }
}

impl Read for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut TokioIo::new(&mut *self.reader())).poll_read(cx, buffer)
    }
}

impl Write for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |writer| writer.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.0.writer.as_ref()).shutdown(Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |writer| writer.try_write_vectored(parts))
    }
}
