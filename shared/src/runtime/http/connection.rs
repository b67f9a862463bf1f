//! A client's connection: its socket, its open requests, how long it has been silent, and how it is closed.

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

/// A handle for hyper, the connection's task and each of its requests. All of them run on one thread and hold no lock across
/// an await, so locking never waits.
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
    /// When the last of them ended.
    idle_since: Instant,
    /// When bytes were last written.
    written: Option<Instant>,
    /// Whether the client speaks HTTP/1.
    http1: bool,
    /// Whether an answer broke off that the client would take for complete after an orderly close.
    broken: bool,
    /// An event stream that is written without hyper.
    taken_over: Option<Box<EventStream>>,
}

impl Connection {
    pub fn new(socket: TcpStream) -> Self {
        let (reader, writer) = socket.into_split();
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

    /// Counts a request as open until the returned value is dropped.
    pub fn open_request(&self, version: Version) -> OpenRequest {
        let mut activity = self.activity();
        activity.open += 1;
        activity.http1 = version < Version::HTTP_2;
        OpenRequest {
            connection: self.clone(),
            close_delimited: version == Version::HTTP_10,
        }
    }

    /// Since when the client has neither sent a whole request head nor taken bytes of an answer; `None` while a request is
    /// open. Over HTTP/2 the server also writes pings, so what it writes counts only if the connection is `closing`.
    pub fn silent_since(&self, closing: bool) -> Option<Instant> {
        let activity = self.activity();
        let written = activity.written.filter(|_| activity.http1 || closing);
        (activity.open == 0).then(|| written.map_or(activity.idle_since, |written| written.max(activity.idle_since)))
    }

    /// Whether anything was ever written.
    pub fn has_written(&self) -> bool {
        self.activity().written.is_some()
    }

    /// Whether only a reset can show the client that an answer broke off.
    pub fn is_broken(&self) -> bool {
        self.activity().broken
    }

    /// Takes a response away from hyper, which must stop serving the connection now.
    pub fn take_over(&self, response: Response) {
        self.activity().taken_over = Some(Box::new(response.into()));
    }

    /// The response that was taken over, if any.
    pub fn taken_over(&self) -> Option<Box<EventStream>> {
        self.activity().taken_over.take()
    }

    /// Ready when the client closes its half of the connection. Everything it sends before that is read and dropped, because
    /// only a read shows the close.
    pub fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *self.reader()).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Returns when the connection fails: after a reset, or when the client stops acknowledging. A client that has closed its
    /// half is not a failure: it may wait for its answer.
    pub async fn failure(&self) {
        let socket: &TcpStream = self.0.writer.as_ref();
        while socket.ready(Interest::ERROR).await.is_ok_and(|ready| !ready.is_error()) {}
    }

    /// Writes as much as the socket takes at once, and returns how many bytes that was.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.writer.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes all bytes, as fast as the client reads.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            written += future::poll_fn(|cx| self.poll_send(cx, |writer| writer.try_write(&bytes[written..]))).await?;
        }
        Ok(())
    }

    /// Closes the server's half and reads until the client closes too: closing with unread bytes would reset the connection,
    /// and the client would lose the end of its answer.
    pub async fn discard(self) {
        if SockRef::from(self.0.writer.as_ref()).shutdown(Shutdown::Write).is_ok() {
            future::poll_fn(|cx| self.poll_hang_up(cx)).await;
        }
    }

    /// Ends the connection with a reset, where an orderly close would mean success to the client.
    pub fn reset(self) {
        let _ = SockRef::from(self.0.writer.as_ref()).set_linger(Some(Duration::ZERO));
        if let Some(shared) = Arc::into_inner(self.0) {
            // Dropping this half would shut the socket down in order before the reset.
            shared.writer.forget();
        }
    }

    /// Sets how long written data may stay unacknowledged before the kernel drops the connection.
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
    /// HTTP/1.0: the close of the connection is the end of an answer without `Content-Length`.
    close_delimited: bool,
}

impl OpenRequest {
    /// Keeps the request open until the body ends; a body of known length is not watched.
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
