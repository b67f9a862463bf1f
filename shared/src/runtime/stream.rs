//! A streamed response over HTTP/1.1, written straight to the socket: chunked coding (RFC 9112, section 7.1), one chunk
//! in hand, no buffer that lives on.

use super::connection::Connection;
use axum::{
    body::Body,
    http::{
        HeaderValue,
        header::{CONNECTION, DATE, TRANSFER_ENCODING},
        response::Parts,
    },
    response::Response,
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

/// Writes the response until its body ends, the client hangs up, or the socket fails. The connection ends with it.
///
/// # Errors
/// The socket's: the client reset it, or acknowledged nothing for too long.
pub async fn write(connection: &Connection, response: Response) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = head(parts);
    if let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        push_chunk(&mut bytes, &frame.into_data().unwrap_or_default());
    }
    connection.write_all(bytes).await?;
    while let Some(data) = poll_fn(|cx| next(connection, &mut body, cx)).await {
        let mut chunk = Vec::with_capacity(data.len() + 16);
        push_chunk(&mut chunk, &data);
        connection.write_all(chunk).await?;
    }
    connection.write_all(b"0\r\n\r\n".to_vec()).await?;
    connection.shutdown()
}

/// The body's next data; `None` at its end, at its error, and when the client has hung up.
fn next(connection: &Connection, body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
    if connection.poll_hang_up(cx).is_ready() {
        return Poll::Ready(None);
    }
    let frame = Pin::new(body).poll_frame(cx);
    frame.map(|frame| frame?.ok().map(|frame| frame.into_data().unwrap_or_default()))
}

fn head(mut parts: Parts) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let own = [
        (CONNECTION, HeaderValue::from_static("close")),
        (DATE, HeaderValue::try_from(date).expect("a date is a header value")),
        (TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    ];
    parts.headers.extend(own);
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// An empty chunk would end the body.
fn push_chunk(bytes: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
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

    #[tokio::test]
    async fn a_stream_is_chunked_and_an_empty_frame_does_not_end_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = Connection::new(listener.accept().await.unwrap().0);
        let frames = ["first", "", "0123456789abcdef"].map(Ok::<_, Infallible>);
        let body = Body::from_stream(stream::iter(frames));
        write(&connection, Response::new(body)).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\nconnection: close\r\ndate: "),
            "{head}"
        );
        assert!(head.ends_with("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, "5\r\nfirst\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    }
}
