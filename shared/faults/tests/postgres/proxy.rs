//! A path to Postgres that delays, drops and forgets.

use shared::testing::{execute, loopback};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

pub struct Proxy {
    port: u16,
    behaviour: Arc<Behaviour>,
}

#[derive(Default)]
struct Behaviour {
    delay_ms: AtomicU64,
    drop_after: AtomicUsize,
    /// Connections before this one are carried no more, and nobody is told.
    forgotten: AtomicUsize,
    opened: AtomicUsize,
}

impl Proxy {
    pub async fn start(postgres: u16) -> Self {
        let (listener, _) = loopback().await;
        let port = listener.local_addr().unwrap().port();
        let behaviour = Arc::new(Behaviour::default());
        behaviour.drop_after.store(usize::MAX, Ordering::Relaxed);
        let shared = Arc::clone(&behaviour);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", postgres)).await else {
                    continue;
                };
                let number = shared.opened.fetch_add(1, Ordering::Relaxed) + 1;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry(from_client, to_server, Arc::clone(&shared), number));
                tokio::spawn(carry(from_server, to_client, Arc::clone(&shared), number));
            }
        });
        Self { port, behaviour }
    }

    /// The URL of the same database, by this path.
    pub async fn url(&self, direct: &str) -> String {
        execute(direct, "CREATE ROLE proxied SUPERUSER LOGIN PASSWORD 'hostile-secret'").await;
        let database = direct.split('?').next().unwrap().rsplit('/').next().unwrap();
        format!("postgresql://proxied:hostile-secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Everything takes so much longer, each way.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.behaviour.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Connections end after so many bytes of the server.
    pub fn drop_after(&self, bytes: usize) {
        self.behaviour.drop_after.store(bytes, Ordering::Relaxed);
    }

    /// The open connections stay open, and carry nothing any more.
    pub fn forget_open_connections(&self) {
        let opened = self.behaviour.opened.load(Ordering::Relaxed);
        self.behaviour.forgotten.store(opened, Ordering::Relaxed);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, behaviour: Arc<Behaviour>, number: usize) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if behaviour.forgotten.load(Ordering::Relaxed) >= number {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(behaviour.delay_ms.load(Ordering::Relaxed))).await;
        if length > behaviour.drop_after.load(Ordering::Relaxed) || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
