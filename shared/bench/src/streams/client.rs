//! A lean client: one request at a time on a raw connection, so that the time of the machine goes to the servers.

use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that is kept alive.
pub struct Client {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub async fn connect(url: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(url.trim_start_matches("http://")).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            answer: Vec::new(),
        })
    }

    /// Sends a request, and reads the whole answer. Returns its status.
    pub async fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<u16> {
        self.send(method, target, headers, body).await?;
        while !self.is_complete() {
            self.read().await?;
        }
        Ok(self.status())
    }

    /// Asks for an event stream, and reads up to its first event.
    pub async fn open(&mut self, target: &str, headers: &str) -> io::Result<()> {
        self.send("GET", target, headers, b"").await?;
        while !self.answer.ends_with(b"\n\n\r\n") {
            self.read().await?;
        }
        assert_eq!(self.status(), 200, "{}", self.head());
        self.answer = Vec::new();
        Ok(())
    }

    /// The next bytes of an event stream, which is all that an idle one has in memory.
    pub async fn next(&mut self, bytes: &mut [u8; 4096]) -> io::Result<usize> {
        match self.socket.read(bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// A header of the answer; empty without it.
    pub fn header(&self, name: &str) -> String {
        let head = self.head();
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .unwrap_or_default()
    }

    /// The body of the answer.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.head_length().unwrap_or_default()..]
    }

    async fn send(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.answer.clear();
        self.socket.write_all(&[head.as_bytes(), body].concat()).await
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn status(&self) -> u16 {
        let digits = self
            .answer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    fn is_complete(&self) -> bool {
        if self.head_length().is_none() {
            return false;
        }
        match self.header("content-length").parse() {
            Ok(length) => self.body().len() >= length,
            Err(_) => [204, 304].contains(&self.status()) || self.answer.ends_with(b"0\r\n\r\n"),
        }
    }

    fn head(&self) -> String {
        let head = &self.answer[..self.head_length().unwrap_or(self.answer.len())];
        String::from_utf8_lossy(head).to_lowercase()
    }

    fn head_length(&self) -> Option<usize> {
        let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
        end.map(|end| end + 4)
    }
}
