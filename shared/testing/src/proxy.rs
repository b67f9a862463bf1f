//! A TCP proxy that delays, drops and forgets.

use super::{Process, database_of, execute, loopback};
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

/// A proxy in front of one server.
pub struct Proxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    behaviour: Arc<Behaviour>,
}

#[derive(Default)]
struct Behaviour {
    delay_ms: AtomicU64,
    drop_after: AtomicUsize,
    /// The connections up to this number stay open and carry nothing.
    forgotten: AtomicUsize,
    opened: AtomicUsize,
}

impl Proxy {
    /// Starts a proxy for a server on a port of 127.0.0.1.
    pub async fn start(server: u16) -> Self {
        let (listener, _) = loopback().await;
        let port = listener.local_addr().expect("it is bound").port();
        let behaviour = Arc::new(Behaviour::default());
        behaviour.drop_after.store(usize::MAX, Ordering::Relaxed);
        let shared = Arc::clone(&behaviour);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
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

    /// The URL of a database through this proxy, for a new role.
    pub async fn url(&self, direct: &str) -> String {
        execute(direct, "CREATE ROLE proxied SUPERUSER LOGIN PASSWORD 'hostile-secret'").await;
        let database = database_of(direct);
        format!("postgresql://proxied:hostile-secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Delays everything, each way.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("it is less than an age of the universe");
        self.behaviour.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Ends a connection at the first read of more than this number of bytes.
    pub fn drop_after(&self, bytes: usize) {
        self.behaviour.drop_after.store(bytes, Ordering::Relaxed);
    }

    /// The connections that are open stay so, and carry nothing from now on.
    pub fn forget(&self) {
        let opened = self.behaviour.opened.load(Ordering::Relaxed);
        self.behaviour.forgotten.store(opened, Ordering::Relaxed);
    }

    /// Freezes the process for longer than it trusts an unused connection. Its open connections stay open and carry nothing
    /// from then on.
    pub async fn forget_during_a_freeze(&self, process: &Process) {
        self.forget();
        process.signal("STOP");
        tokio::time::sleep(Duration::from_millis(10_100)).await;
        process.signal("CONT");
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
