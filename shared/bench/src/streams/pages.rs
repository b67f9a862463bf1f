//! Catching up: 100 MB of one stream, page by page, against `COPY` of the same bytes by psql.

use super::{Client, database, headers, instance, postgres};
use crate::median;
use std::{
    process::{Command, Stdio},
    time::Instant,
};
use testing::{Process, execute};

const ROUNDS: usize = 5;
const MB: f64 = 1e6;
/// How many bytes a record has, and how many there are.
const RECORDS: [(usize, usize); 2] = [(65_536, 1526), (1024, 97_657)];

pub async fn catch_up() {
    println!(
        "\n| 100 MB, page by page | `COPY`, MB/s | `streams`, MB/s | ratio | memory at the start | at most |\n|---|---|---|---|---|---|"
    );
    let postgres = postgres();
    let url = database(&postgres, RECORDS.len()).await;
    for (stream, (size, count)) in RECORDS.into_iter().enumerate() {
        // 100,000 appends of one transaction to a stream take 22 s.
        let append = format!(
            "DO $$ BEGIN FOR n IN 1 .. {count} LOOP
                PERFORM streams.append('s/{stream}', repeat('x', {size}), ring => false);
                COMMIT;
            END LOOP; END $$"
        );
        execute(&url, &append).await;
        let server = instance(&url).serve();
        let target = format!("/v1/stream/s/{stream}");
        page(&server, &target, "-1").await;
        let before = server.resident_kib();
        let (mut copies, mut reads) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            copies.push(copy(&url, stream, size * count));
            reads.push(read(&server, &target, size * count).await);
        }
        let (copy, read) = (median(copies), median(reads));
        println!(
            "| records of {size} B | {copy:.0} | {read:.0} | {:.2} | {:.1} MiB | {:.1} MiB |",
            read / copy,
            before as f64 / 1024.0,
            server.peak_kib() as f64 / 1024.0,
        );
    }
}

/// MB a second.
async fn read(server: &Process, target: &str, expected: usize) -> f64 {
    let start = Instant::now();
    let mut client = Client::connect(&server.url).await.expect("it listens");
    let (mut bytes, mut offset) = (0, "-1".to_owned());
    while bytes < expected {
        let target = format!("{target}?offset={offset}");
        let status = client.ask("GET", &target, &headers(), b"").await;
        assert!(matches!(status, Ok(200)), "{status:?}");
        bytes += client.body().len();
        offset = client.header("stream-next-offset");
    }
    assert_eq!(bytes, expected);
    bytes as f64 / MB / start.elapsed().as_secs_f64()
}

async fn page(server: &Process, target: &str, offset: &str) {
    let mut client = Client::connect(&server.url).await.expect("it listens");
    let status = client
        .ask("GET", &format!("{target}?offset={offset}"), &headers(), b"")
        .await;
    assert!(matches!(status, Ok(200)), "{status:?}");
}

/// MB a second, with the start of psql, which is some milliseconds.
fn copy(url: &str, stream: usize, bytes: usize) -> f64 {
    let copy = format!(
        "COPY (SELECT data FROM streams.records WHERE stream = (SELECT id FROM streams.streams WHERE path = 's/{stream}') \
         ORDER BY position) TO STDOUT (FORMAT binary)"
    );
    let start = Instant::now();
    let mut psql = Command::new("psql");
    let status = psql.args([url, "-Xqc", &copy]).stdout(Stdio::null()).status();
    assert!(status.expect("psql is installed").success());
    bytes as f64 / MB / start.elapsed().as_secs_f64()
}
