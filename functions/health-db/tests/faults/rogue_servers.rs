//! A server that is not what it says: memory stays bounded, the deadline is met, and nothing panics.

use crate::probed::probed;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::SockRef;
use sqlx::{Connection, PgConnection};
use std::{fs, time::Duration};
use testing::{Binary, Postgres, database_of, loopback};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What such a server sends after the startup message, and what it then repeats until the client closes.
#[derive(Clone)]
struct Rogue {
    once: Vec<u8>,
    forever: Vec<u8>,
}

impl Rogue {
    async fn start(self) -> String {
        let (listener, _) = loopback().await;
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(client));
            }
        });
        format!("postgresql://hostile-user:hostile-secret@127.0.0.1:{port}/hostile_database?sslmode=disable")
    }

    async fn serve(self, mut client: TcpStream) -> std::io::Result<()> {
        let _startup = client.read(&mut [0; 1000]).await?;
        client.write_all(&self.once).await?;
        while !self.forever.is_empty() {
            client.write_all(&self.forever).await?;
        }
        // Reads on, so that the client sees no reset.
        while client.read(&mut [0; 1000]).await? > 0 {}
        Ok(())
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(4 + body.len() as u32).to_be_bytes(), body].concat()
}

/// The messages of a server that accepts the login and is ready for a query.
fn welcome() -> Vec<u8> {
    [
        message(b'R', &[0; 4]),
        message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// One column, named `version`, of type int8 and in text.
fn columns() -> Vec<u8> {
    let description = b"\0\x01version\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0";
    message(b'T', description)
}

fn row(bytes: usize) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((bytes as u32).to_be_bytes());
    body.resize(body.len() + bytes, b'1');
    message(b'D', &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_and_endless_answers_are_refused_in_time_and_without_memory() {
    let huge = |kind: u8| vec![kind, 0x7f, 0xff, 0xff, 0xff];
    let cases = [
        ("a huge first message", huge(b'R'), vec![]),
        (
            "a first message that is longer than any",
            [huge(b'R'), vec![0; 1 << 20]].concat(),
            vec![0; 1 << 16],
        ),
        ("a huge error", huge(b'E'), vec![b'x'; 1 << 16]),
        ("an impossible length", vec![b'R', 0, 0, 0, 3], vec![]),
        (
            "a huge second message",
            [message(b'R', &[0; 4]), huge(b'S')].concat(),
            vec![b'x'; 1 << 16],
        ),
        (
            "endless parameters",
            message(b'R', &[0; 4]),
            message(b'S', b"name\0value\0"),
        ),
        (
            "endless notices",
            message(b'R', &[0; 4]),
            message(b'N', b"SNOTICE\0C00000\0Mnothing\0\0"),
        ),
        (
            "a huge row",
            [welcome(), columns(), huge(b'D')].concat(),
            vec![b'x'; 1 << 16],
        ),
        ("endless rows", [welcome(), columns()].concat(), row(8).repeat(1000)),
        ("endless large rows", [welcome(), columns()].concat(), row(100_000)),
        (
            "an endless key",
            [message(b'R', &[0; 4]), huge(b'K')].concat(),
            vec![0; 1 << 16],
        ),
    ];
    for (name, once, forever) in cases {
        let server = probed(&Rogue { once, forever }.start().await);
        let before = server.resident_kib();
        for _ in 0..3 {
            server.fails("error").await;
            server.forgets().await;
        }
        let grown = server.grown_kib(before);
        assert!(grown < 24 * 1024, "{name}: {grown} KiB");
        assert!(
            server.log().len() < 20_000,
            "{name}: {} bytes of log",
            server.log().len()
        );
    }
}

/// The kernel limits the process to the memory of the smallest container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_little_memory_survives_a_huge_length() {
    let once = vec![b'R', 0x7f, 0xff, 0xff, 0xff];
    let url = Rogue { once, forever: vec![] }.start().await;
    let function = Binary::new(env!("CARGO_BIN_EXE_health-db")).under(&["prlimit", "--as=536870912"]);
    let job = function.with("DATABASE_URL", url).run(&["check"]);
    assert_eq!(job.status.code(), Some(1), "{job:?}");
    assert!(
        String::from_utf8_lossy(&job.stdout).contains(r#""reason":"error""#),
        "{job:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_shorter_than_their_kind_are_an_error_and_no_panic_of_a_probe() {
    let kinds = b"RKSZTDCEN123IsntAvGdcHWV";
    for kind in kinds {
        for once in [
            message(*kind, b""),
            [message(b'R', &[0; 4]), message(*kind, b"")].concat(),
            [message(b'R', &[0; 4]), message(*kind, b"\0")].concat(),
            [welcome(), message(*kind, b"")].concat(),
            [welcome(), columns(), message(*kind, b"\0\x01\0")].concat(),
        ] {
            let server = probed(
                &Rogue {
                    once: once.clone(),
                    forever: vec![],
                }
                .start()
                .await,
            );
            let answer = server.probe().await;
            assert_eq!(answer.status, 503, "{once:?} {}", server.log());
            assert!(answer.json()["reason"].is_string(), "{once:?}");
        }
    }
}

/// The control: if this fails, sqlx bounds what it reads, and the proxy no longer needs to.
#[tokio::test]
async fn plain_sqlx_believes_a_length_of_two_gigabytes() {
    let once = vec![b'R', 0x7f, 0xff, 0xff, 0xff];
    let url = Rogue { once, forever: vec![] }.start().await;
    let answer = timeout(Duration::from_millis(500), PgConnection::connect(&url)).await;
    assert!(answer.is_err(), "plain sqlx no longer waits for it");
}

/// Whether each TCP connection to this port sends small messages at once.
fn nodelay(process: u32, port: u16) -> Vec<bool> {
    let process = Pid::from_raw(process as i32).unwrap();
    let pidfd = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let numbers = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let descriptors = numbers.filter_map(|number| pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).ok());
    let found = descriptors.filter_map(|descriptor| {
        let socket = SockRef::from(&descriptor);
        let peer = socket.peer_addr().ok()?.as_socket()?;
        (peer.port() == port).then(|| socket.tcp_nodelay().unwrap())
    });
    found.collect()
}

/// Includes the control: if its half fails, sqlx sets the option itself, and the proxy no longer needs to.
#[tokio::test]
async fn connections_send_small_messages_at_once_and_those_of_plain_sqlx_do_not() {
    let postgres = Postgres::start(&[]);
    let url = postgres.migrated_database().await;
    testing::execute(
        &url,
        "CREATE ROLE \"hostile-user\" SUPERUSER LOGIN PASSWORD 'hostile-secret'",
    )
    .await;
    let database = database_of(&url);
    let url = format!(
        "postgresql://hostile-user:hostile-secret@127.0.0.1:{}/{database}",
        postgres.port()
    );
    let server = probed(&url);
    server.recovers().await;
    assert_eq!(nodelay(server.pid(), postgres.port()), [true]);
    let _plain = PgConnection::connect(&url).await.unwrap();
    assert_eq!(
        nodelay(std::process::id(), postgres.port()),
        [false],
        "plain sqlx sets TCP_NODELAY"
    );
}
