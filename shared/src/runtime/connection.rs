//! One connection of a client: its socket, its requests, its silence and its end.

use super::guarded;
use axum::{body::Body, response::Response};
use hyper::rt::{Read, ReadBufCursor, Write};
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
    io::{AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// A handle of the connection, for hyper, for its task and for each of its requests. Its locks are free whenever one of
/// them asks, because they share a thread.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    stream: Mutex<TcpStream>,
    activity: Mutex<Activity>,
}

struct Activity {
    /// Requests that are being answered.
    open: usize,
    /// Since when there are none.
    idle_since: Instant,
    /// Whether there ever was one.
    greeted: bool,
    /// A response that hyper does not write.
    taken_over: Option<Response>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Shared {
            stream: Mutex::new(stream),
            activity: Mutex::new(Activity {
                open: 0,
                idle_since: Instant::now(),
                greeted: false,
                taken_over: None,
            }),
        }))
    }

    /// For as long as the guard lives, a request is being answered.
    pub fn open_request(&self) -> OpenRequest {
        let mut activity = self.activity();
        activity.open += 1;
        activity.greeted = true;
        OpenRequest(self.clone())
    }

    /// How long the client has owed a whole head; `None` while a request is being answered.
    pub fn silence(&self) -> Option<Duration> {
        let activity = self.activity();
        (activity.open == 0).then(|| activity.idle_since.elapsed())
    }

    /// Whether a whole head ever came.
    pub fn is_greeted(&self) -> bool {
        self.activity().greeted
    }

    /// Takes a response away from hyper: whatever serves the connection must end now, and not write.
    pub fn take_over(&self, response: Response) {
        self.activity().taken_over = Some(response);
    }

    /// The response that was taken over, if one was.
    pub fn taken_over(&self) -> Option<Response> {
        self.activity().taken_over.take()
    }

    /// Ready when the client closes the connection.
    pub fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.stream().poll_peek(cx, &mut ReadBuf::new(&mut [0]))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            // A request that comes too early.
            Ok(_) => Poll::Pending,
        }
    }

    /// The last word, if the socket takes it at once.
    pub fn say(&self, words: &[u8]) {
        let _ = self.stream().try_write(words);
    }

    /// Writes all of it, as fast as the client reads.
    pub async fn write_all(&self, bytes: Vec<u8>) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            written += future::poll_fn(|cx| Pin::new(&mut *self.stream()).poll_write(cx, &bytes[written..])).await?;
        }
        Ok(())
    }

    /// Tells the client that nothing follows.
    pub fn shutdown(&self) -> io::Result<()> {
        SockRef::from(&*self.stream()).shutdown(Shutdown::Write)
    }

    /// Reads what the client still sends: closing on unread bytes would reset the connection, and the answer that says
    /// why with it.
    pub async fn discard(self) -> io::Result<()> {
        self.shutdown()?;
        loop {
            future::poll_fn(|cx| self.stream().poll_read_ready(cx)).await?;
            let read = self.stream().try_read(&mut [0; 4096]);
            match read {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    fn stream(&self) -> MutexGuard<'_, TcpStream> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub struct OpenRequest(Connection);

impl OpenRequest {
    /// Stays open until the body ends, where a body is a stream.
    pub fn until_end_of(self, body: Body) -> Body {
        guarded::body(body, || self)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.open -= 1;
        activity.idle_since = Instant::now();
    }
}

impl Read for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut TokioIo::new(&mut *self.stream())).poll_read(cx, buffer)
    }
}

impl Write for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut TokioIo::new(&mut *self.stream())).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut TokioIo::new(&mut *self.stream())).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut TokioIo::new(&mut *self.stream())).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut TokioIo::new(&mut *self.stream())).poll_write_vectored(cx, parts)
    }
}
