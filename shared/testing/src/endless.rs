//! A server whose answers never end.

use super::loopback;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server, which ends with its handle.
pub struct Endless {
    /// `http://127.0.0.1:port`
    pub url: String,
    sent: Arc<AtomicU64>,
    server: tokio::task::JoinHandle<()>,
}

impl Endless {
    /// Answers with `head`, such as `HTTP/1.1 503 Bad\r\n`, and then with `text` again and again.
    pub async fn start(head: &str, text: &str) -> Self {
        let (listener, url) = loopback().await;
        let sent = Arc::default();
        let server = tokio::spawn(accept(
            listener,
            format!("{head}\r\n"),
            text.repeat(1000),
            Arc::clone(&sent),
        ));
        Self { url, sent, server }
    }

    /// The bytes that clients have taken since the last call, buffers of sockets included.
    pub fn taken(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, head: String, text: String, sent: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (head, text, sent) = (head.clone(), text.clone(), Arc::clone(&sent));
        // Ends when the client closes the connection.
        tokio::spawn(async move { answer(stream, &head, &text, &sent).await });
    }
}

async fn answer(mut stream: TcpStream, head: &str, text: &str, sent: &AtomicU64) -> io::Result<()> {
    // The beginning of a request is enough.
    let _ = stream.read(&mut [0; 64 << 10]).await?;
    stream.write_all(head.as_bytes()).await?;
    loop {
        let length = stream.write(text.as_bytes()).await?;
        sent.fetch_add(length as u64, Ordering::Relaxed);
    }
}
