//! A JSON POST that stores one row: requests under full load, against bare axum with sqlx, and FastAPI with SQLAlchemy and
//! asyncpg. Each is one process with one thread and a pool of 5, over TCP, on the same Postgres.

use crate::{Measured, measured, median, peers};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use testing::{Binary, Postgres, Process, execute};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 32;
const PATHS: [&str; 2] = ["/rows", "/transactions"];

const BARE_ROWS: Measured = measured("bare-rows", PATHS[0]);
const ROWS: Measured = measured("rows", PATHS[0]);

/// What a migrated database costs a test.
pub async fn template() {
    let postgres = Postgres::start(&[]);
    postgres.migrated_database().await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        postgres.migrated_database().await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "\n| a migrated database for a test, after the first | {:.0} ms |\n|---|---|",
        median(times)
    );
}

pub async fn throughput() {
    for (name, settings) in [
        ("a server that does not sync to disk", &[][..]),
        ("a server with its defaults", &["fsync=on", "full_page_writes=on"]),
    ] {
        println!("\n| POST of one row, {CONNECTIONS} connections, {name} | requests/s | ratio |\n|---|---|---|");
        let postgres = Postgres::start(settings);
        let url = database(&postgres).await;
        for path in PATHS {
            table(&url, path).await;
        }
    }
}

async fn table(url: &str, path: &'static str) {
    let servers = [
        ("axum and sqlx", BARE_ROWS.function().with("DATABASE_URL", url).serve()),
        ("a function", ROWS.function().with("DATABASE_URL", url).serve()),
        ("FastAPI, SQLAlchemy and asyncpg", fastapi(url)),
    ];
    let mut rates = servers.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, server), rates) in servers.iter().zip(&mut rates) {
            rates.push(load(server, path).await);
        }
    }
    let rates = rates.map(median);
    for ((name, _), rate) in servers.iter().zip(rates) {
        println!("| {name}, `{path}` | {rate:.0} | {:.2} |", rate / rates[0]);
    }
}

/// A migrated database, for a role with a password.
async fn database(postgres: &Postgres) -> String {
    let url = postgres.migrated_database().await;
    execute(&url, "CREATE ROLE bench SUPERUSER LOGIN PASSWORD 'bench'").await;
    format!(
        "postgresql://bench:bench@127.0.0.1:{}/{}",
        postgres.port(),
        testing::database_of(&url)
    )
}

fn fastapi(url: &str) -> Process {
    let sources = peers::sources("fastapi");
    let venv = peers::installed("fastapi", "bin/uvicorn", |venv| {
        peers::run(Command::new("python3").args(["-m", "venv"]).arg(venv));
        let requirements = sources.join("requirements.txt");
        peers::run(
            Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "--requirement"])
                .arg(requirements),
        );
    });
    let server = Binary::new(venv.join("bin/uvicorn"))
        .with("UVICORN_APP", "app:app")
        .with("UVICORN_APP_DIR", sources.to_string_lossy())
        .with("UVICORN_ACCESS_LOG", "false")
        .with("PYTHONDONTWRITEBYTECODE", "1")
        .with("DATABASE_URL", url.replace("postgresql:", "postgresql+asyncpg:"));
    peers::serve(server, "UVICORN_PORT", "Uvicorn running")
}

/// Requests a second, of as many as the server can answer, one at a time on each connection.
async fn load(server: &Process, path: &'static str) -> f64 {
    let address = server.url.trim_start_matches("http://").to_owned();
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = address.clone();
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("it is TCP");
            let mut requests = 0;
            while start.elapsed() < ROUND {
                post(&mut stream, path).await;
                requests += 1;
            }
            requests
        });
    }
    let requests: u32 = clients.join_all().await.into_iter().sum();
    f64::from(requests) / start.elapsed().as_secs_f64()
}

async fn post(stream: &mut TcpStream, path: &str) {
    const BODY: &str = r#"{"release":"2026.11.26-1234567"}"#;
    let head = "HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let request = format!("POST {path} {head}\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("it answers"), 0);
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 201 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
