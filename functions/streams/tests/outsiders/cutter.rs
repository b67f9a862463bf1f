//! A TCP proxy that cuts each connection after some bytes of answers, wherever that is.

#![allow(dead_code, reason = "two tests share it")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use testing::loopback;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
};

/// Where a connection is cut.
#[derive(Clone, Copy)]
enum Limit {
    Nothing,
    AfterHead(usize),
}

impl Limit {
    /// How many of the bytes that were read are passed on, the last ones included; `None`: all, and more.
    fn cut(self, read: &[u8]) -> Option<usize> {
        let end = match self {
            Self::Nothing => 0,
            Self::AfterHead(bytes) => read.windows(4).position(|window| window == b"\r\n\r\n")? + 4 + bytes,
        };
        (end <= read.len()).then_some(end)
    }
}

pub struct Cutter {
    pub url: String,
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    /// In front of a server on a port of 127.0.0.1. Connections are cut some bytes after the head of their first answer, each
    /// after another number, until `least` were: one that its client closes earlier does not count.
    pub async fn start(server: u16, least: usize) -> Self {
        let limit = move |number: usize, cuts| (cuts < least).then_some(Limit::AfterHead(5 + 37 * (number % 11)));
        Self::with(server, limit).await
    }

    /// Every connection is cut when its first answer begins.
    pub async fn before_answers(server: u16) -> Self {
        Self::with(server, |_, _| Some(Limit::Nothing)).await
    }

    async fn with(server: u16, limit: impl Fn(usize, usize) -> Option<Limit> + Send + 'static) -> Self {
        let (listener, url) = loopback().await;
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cuts);
        tokio::spawn(async move {
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let limit = limit(number, count.load(Ordering::Relaxed));
                tokio::spawn(carry(client, server, limit, Arc::clone(&count)));
            }
        });
        Self { url, cuts }
    }

    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Sends a request, and waits until its connection has ended.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], authorization: &str, body: &str) {
        let address = self.url.trim_start_matches("http://");
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "an answer came through");
    }
}

async fn carry(client: TcpStream, server: TcpStream, limit: Option<Limit>, cuts: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let (mut bytes, mut read, mut passed) = ([0; 4096], Vec::new(), 0);
    while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
        read.extend_from_slice(&bytes[..length]);
        let cut = limit.and_then(|limit| limit.cut(&read));
        if to_client
            .write_all(&read[passed..cut.unwrap_or(read.len())])
            .await
            .is_err()
        {
            break;
        }
        passed = read.len();
        if cut.is_some() {
            cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    // Both ends see the connection end: the halves are dropped.
    requests.abort();
}
