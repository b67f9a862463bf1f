//! A client that takes a kilobyte a second, until it is told to hurry.

use crate::Caller;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::sleep,
};

pub struct SlowReader {
    taken: Arc<AtomicUsize>,
    hurry: Arc<AtomicBool>,
    reading: JoinHandle<Vec<u8>>,
}

impl SlowReader {
    /// Sends a request to a server.
    pub fn start(server: &str, target: &str) -> Self {
        let address = server.trim_start_matches("http://").to_owned();
        let authorization = Caller::new().authorization;
        let head = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\r\n");
        let (taken, hurry) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let counts = (Arc::clone(&taken), Arc::clone(&hurry));
        let reading = tokio::spawn(async move {
            // Little is on its way, as what the kernel holds is no memory of the server; but more than a segment, which would be
            // dropped and sent again after a minute.
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(32 << 10).unwrap();
            let mut connection = socket.connect(address.parse().unwrap()).await.unwrap();
            connection.write_all(head.as_bytes()).await.unwrap();
            take(connection, &counts.0, &counts.1).await
        });
        Self { taken, hurry, reading }
    }

    /// How many bytes it has taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes what is still on its way, as fast as it comes.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// The body, as far as it came.
    pub async fn end(self) -> Vec<u8> {
        without_chunks(&self.reading.await.unwrap())
    }
}

async fn take(mut connection: TcpStream, taken: &AtomicUsize, hurry: &AtomicBool) -> Vec<u8> {
    let (mut all, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let is_fast = hurry.load(Ordering::Relaxed);
        let most = if is_fast { bytes.len() } else { 256 };
        match connection.read(&mut bytes[..most]).await {
            Ok(length @ 1..) => all.extend_from_slice(&bytes[..length]),
            _ => return all,
        }
        taken.store(all.len(), Ordering::Relaxed);
        if !is_fast {
            sleep(Duration::from_millis(250)).await;
        }
    }
}

/// The body of an answer in chunks, the last of which may be cut off.
fn without_chunks(answer: &[u8]) -> Vec<u8> {
    let line = |bytes: &[u8]| bytes.windows(2).position(|window| window == b"\r\n");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (mut rest, mut body) = (&answer[head.map_or(answer.len(), |end| end + 4)..], Vec::new());
    while let Some(end) = line(rest) {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let (begin, size) = (end + 2, usize::from_str_radix(size, 16).unwrap());
        body.extend_from_slice(&rest[begin..rest.len().min(begin + size)]);
        rest = rest.get(begin + size + 2..).unwrap_or_default();
    }
    body
}
