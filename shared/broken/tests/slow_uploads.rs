//! Ten thousand clients that send a little of a body and fall silent: what they cost, and what others notice. These tests are
//! a binary of their own because one process has all the clients: beside other tests they would be slow themselves.

#![allow(clippy::unwrap_used)]

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, future::join_all, stream};
use hyper::Method;
use std::{
    convert::Infallible,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use testing::{Binary, Client, Process};
use tokio::{sync::Mutex, task::JoinHandle};

/// At most: a slow machine opens fewer in [`OPENING`], a half of the time that the server waits for a body.
const UPLOADS: usize = 10_000;
const OPENING: Duration = Duration::from_secs(5);
/// What each sends of its body, in bytes.
const SENT: usize = 1000;
const ROUTES: [(Method, &str); 2] = [(Method::POST, "/greetings/1"), (Method::PUT, "/size")];

fn server() -> Process {
    testing::raise_file_limit();
    let broken = Binary::new(env!("CARGO_BIN_EXE_broken"));
    broken.under(&["prlimit", "--nofile=20000"]).serve()
}

/// Both rounds at once would measure the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The memory of a server, before and in each round of uploads.
struct Memory<'a> {
    server: &'a Process,
    idle: u64,
    /// In KiB an upload.
    peaks: Vec<u64>,
}

impl<'a> Memory<'a> {
    async fn of(server: &'a Process) -> Self {
        Client::http1().get(&format!("{}/health", server.url)).await;
        Self {
            server,
            idle: server.resident_kib(),
            peaks: Vec::new(),
        }
    }

    /// While the uploads are open, probes are answered within the time that a platform waits for one (`timeoutSeconds: 1`). Their
    /// median counts: others use this machine, too.
    async fn record(&mut self, uploads: usize) {
        assert!(uploads > UPLOADS / 10, "{uploads} uploads only");
        // The first probe waits behind the requests that are still to be accepted.
        median(self.server, 1).await;
        let probe = median(self.server, 100).await;
        self.peaks
            .push((self.server.resident_kib() - self.idle) / uploads as u64);
        println!("{:?} KiB an upload, a probe {probe:?}", self.peaks);
        assert!(probe < Duration::from_secs(1), "a probe took {probe:?}");
    }

    /// Of a debug build. glibc keeps pages of the first rounds that have holes in them; later rounds fill those.
    fn is_flat(&self, most: u64) {
        let peaks = &self.peaks;
        assert!(peaks[3] <= most, "{peaks:?} KiB an upload");
        assert!(
            peaks[3] <= peaks[2] + 2,
            "each round costs more: {peaks:?} KiB an upload"
        );
    }
}

async fn median(server: &Process, probes: usize) -> Duration {
    let (client, url) = (Client::http1(), format!("{}/health", server.url));
    let mut times = Vec::new();
    for _ in 0..probes {
        let start = Instant::now();
        assert_eq!(client.get(&url).await.status, 200);
        times.push(start.elapsed());
    }
    times.sort();
    times[probes / 2]
}

fn over_http_1(server: &Process, most: usize) -> Vec<TcpStream> {
    let requests = ROUTES.map(|(method, path)| {
        let more = "host: x\r\ncontent-length: 60000\r\ncontent-type: application/json";
        format!("{method} {path} HTTP/1.1\r\n{more}\r\n\r\n{{\"{}", "x".repeat(SENT))
    });
    let open = |index: usize| {
        let mut upload = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        upload.write_all(requests[index % 2].as_bytes()).unwrap();
        upload
    };
    let start = Instant::now();
    (0..most).take_while(|_| start.elapsed() < OPENING).map(open).collect()
}

#[tokio::test]
async fn ten_thousand_slow_uploads_leave_memory_flat_and_probes_fast() {
    let _alone = ALONE.lock().await;
    let server = server();
    let mut memory = Memory::of(&server).await;
    let mut most = UPLOADS;
    for _ in 0..4 {
        let mut uploads = over_http_1(&server, most);
        most = uploads.len();
        assert!(server.sockets() > most / 2, "a machine too slow for this test");
        memory.record(most).await;
        for upload in uploads.iter_mut().step_by(999) {
            let mut answer = [0; 12];
            upload.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 408");
        }
        let start = Instant::now();
        while server.sockets() > 100 {
            let left = server.sockets();
            assert!(start.elapsed() < Duration::from_secs(10), "{left} sockets are left");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    memory.is_flat(40);
}

/// As many uploads on each connection as the server allows. Returns the status of each, and how many have sent their bytes.
async fn over_http_2(server: &Process) -> (Vec<JoinHandle<u16>>, usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let open = |(index, client): (usize, &Client)| {
        let (method, path) = ROUTES[index % 2].clone();
        let (client, url, sent) = (client.clone(), format!("{}{path}", server.url), Arc::clone(&sent));
        let start = stream::once(async { Bytes::from("{\"".to_owned() + &"x".repeat(SENT)) });
        let silence = stream::once(async move { sent.fetch_add(1, Ordering::Relaxed) });
        let body = start.chain(silence.filter_map(async |_| std::future::pending().await));
        let body = Body::from_stream(body.map(Ok::<_, Infallible>));
        tokio::spawn(async move {
            let headers = [("content-type", "application/json")];
            client.exchange(method, &url, &headers, body).await.status.as_u16()
        })
    };
    let clients: Vec<Client> = (0..UPLOADS / 1000).map(|_| Client::h2c()).collect();
    let uploads = clients.iter().cycle().take(UPLOADS).enumerate().map(open).collect();
    let start = Instant::now();
    while sent.load(Ordering::Relaxed) < UPLOADS && start.elapsed() < OPENING {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (uploads, sent.load(Ordering::Relaxed))
}

#[tokio::test]
async fn ten_thousand_slow_uploads_over_http_2_do_so_too() {
    let _alone = ALONE.lock().await;
    let server = server();
    let mut memory = Memory::of(&server).await;
    for _ in 0..4 {
        let (uploads, sent) = over_http_2(&server).await;
        memory.record(sent).await;
        assert!(server.sockets() < 100, "{} sockets", server.sockets());
        for status in join_all(uploads).await {
            assert_eq!(status.unwrap(), 408);
        }
    }
    memory.is_flat(12);
}
