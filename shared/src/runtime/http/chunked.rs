//! Event streams over HTTP/1 in the chunked coding, written to the socket without a buffer.

use super::connection::Connection;
use crate::deadline::Deadline;
use axum::{
    body::Body,
    http::{
        HeaderValue, Version,
        header::{CONNECTION, DATE, TRANSFER_ENCODING},
        response::Parts,
    },
    response::Response,
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use std::{
    future::poll_fn,
    io::{self, Write},
    mem,
    time::SystemTime,
};

/// A response that is an event stream. Small, because one process may hold ten thousand idle ones.
pub struct EventStream {
    body: Body,
    deadline: Deadline,
    /// HTTP/1.1; a stream of HTTP/1.0 is bare, and ends with its connection.
    chunked: bool,
    /// The bytes to write next; at first, the head.
    bytes: Vec<u8>,
}

enum Next {
    Data(Bytes),
    End,
    Failed,
    HungUp,
}

impl From<Response> for EventStream {
    fn from(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            body,
            deadline: parts.extensions.get().cloned().unwrap_or_default(),
            chunked: parts.version == Version::HTTP_11,
            bytes: head(parts),
        }
    }
}

impl EventStream {
    /// Writes the response until its body ends, its body fails, or the client hangs up; the caller then closes the
    /// connection. Over HTTP/1.1, the last chunk is missing after a failure (RFC 9112, section 8).
    ///
    /// # Errors
    /// The connection has to be reset: the socket failed; the client has not read everything a second after the response's
    /// [`Deadline`]; or the body failed over HTTP/1.0, where an orderly close means a complete answer.
    pub async fn write(mut self: Box<Self>, connection: &Connection) -> io::Result<()> {
        // The first event leaves with the head.
        let mut next = self.next(connection).now_or_never();
        loop {
            let goes_on = match next {
                Some(next) => self.push(next)?,
                None => true,
            };
            self.send(connection).await?;
            if !goes_on {
                return Ok(());
            }
            next = Some(self.next(connection).await);
        }
    }

    /// Waits for the body, or for the client to hang up.
    async fn next(&mut self, connection: &Connection) -> Next {
        let frame = poll_fn(|cx| {
            let frame = self.body.frame().poll_unpin(cx).map(Some);
            // The body goes first: a client that keeps sending must not starve it.
            if frame.is_pending() {
                return connection.poll_hang_up(cx).map(|()| None);
            }
            frame
        });
        match frame.await {
            None => Next::HungUp,
            Some(None) => Next::End,
            Some(Some(Err(_))) => Next::Failed,
            Some(Some(Ok(frame))) => Next::Data(frame.into_data().unwrap_or_default()),
        }
    }

    /// Adds the next bytes to write. Returns whether more follow.
    fn push(&mut self, next: Next) -> io::Result<bool> {
        match next {
            Next::Data(data) if self.chunked => push_chunk(&mut self.bytes, &data),
            Next::Data(data) => self.bytes.extend_from_slice(&data),
            Next::Failed if !self.chunked => return Err(io::Error::other("the body failed")),
            end => {
                if self.chunked && matches!(end, Next::End) {
                    self.bytes.extend_from_slice(b"0\r\n\r\n");
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes as fast as the client reads. The timer for slow clients exists only while one is waited for: an idle stream does
    /// not carry it.
    async fn send(&mut self, connection: &Connection) -> io::Result<()> {
        let bytes = mem::take(&mut self.bytes);
        let written = connection.try_write(&bytes)?;
        if written == bytes.len() {
            return Ok(());
        }
        let sent = self.deadline.cut_off(connection.write_all(&bytes[written..]));
        Box::pin(sent).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn head(mut parts: Parts) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    parts
        .headers
        .insert(DATE, HeaderValue::try_from(date).expect("a date is a header value"));
    if parts.version == Version::HTTP_11 {
        parts
            .headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut head = format!("{:?} {}\r\n", parts.version, parts.status).into_bytes();
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Encodes a chunk (RFC 9112, section 7.1). An empty one is left out, because it would end the body.
fn push_chunk(bytes: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        // The length has 16 digits at most.
        bytes.reserve(data.len() + 20);
        let _ = write!(bytes, "{:x}\r\n", data.len());
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    /// Writes a body. Returns what the client reads, and whether the connection has to be reset.
    async fn written(version: Version, body: Body) -> (String, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = Connection::new(listener.accept().await.unwrap().0);
        let mut response = Response::new(body);
        *response.version_mut() = version;
        let stream = Box::new(EventStream::from(response));
        let reset = stream.write(&connection).await.is_err();
        drop(connection);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        (answer, reset)
    }

    fn frames() -> Body {
        let frames = ["first", "", "0123456789abcdef"].map(Ok::<_, Infallible>);
        Body::from_stream(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_stream_is_chunked_and_an_empty_frame_does_not_end_it() {
        let (answer, reset) = written(Version::HTTP_11, frames()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\nconnection: close\r\ndate: "),
            "{head}"
        );
        assert!(head.ends_with("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, "5\r\nfirst\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
        assert!(!reset);
    }

    #[tokio::test]
    async fn over_http_1_0_a_stream_is_bare_and_ends_with_its_connection() {
        let (answer, reset) = written(Version::HTTP_10, frames()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\nconnection: close\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "first0123456789abcdef");
        assert!(!reset);
    }

    #[tokio::test]
    async fn a_stream_whose_body_fails_has_no_last_chunk_and_over_http_1_0_a_reset() {
        for (version, must_reset) in [(Version::HTTP_11, false), (Version::HTTP_10, true)] {
            let frames = [Ok("first"), Err(io::Error::other("broken"))];
            let (answer, reset) = written(version, Body::from_stream(stream::iter(frames))).await;
            assert!(answer.contains("first") && !answer.contains("0\r\n\r\n"), "{answer}");
            assert_eq!(reset, must_reset, "{version:?}");
        }
    }
}
