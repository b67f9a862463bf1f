//! The storage client: the peak memory of a process that puts 500 MB and gets them back.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use testing::{
    gcs::GcsEmulator,
    s3::{ACCESS_KEY, S3Server, SECRET_KEY},
};

const SIZE: usize = 500_000_000;

/// `binary` is that of the package `bucket`.
pub async fn memory(binary: &Path) {
    let s3 = S3Server::start("evidence").await;
    let gcs = GcsEmulator::start("evidence").await;
    println!(
        "\n| {} MB through | peak memory | seconds |\n|---|---|---|",
        SIZE / 1_000_000
    );
    for (name, settings) in [
        (
            "S3",
            vec![
                ("S3_BUCKET", "evidence"),
                ("AWS_ENDPOINT_URL_S3", &s3.url),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ],
        ),
        (
            "GCS",
            vec![("GCS_BUCKET", "evidence"), ("STORAGE_EMULATOR_HOST", &gcs.url)],
        ),
    ] {
        for verb in ["put", "get"] {
            let mut command = Command::new(binary);
            command.args([verb, "large"]).env_clear().envs(settings.clone());
            let (peak, time) = tokio::task::spawn_blocking(move || peak_of(command))
                .await
                .expect("it ends");
            println!(
                "| {verb}, {name} | {:.1} MiB | {:.1} |",
                peak as f64 / 1024.0,
                time.as_secs_f64()
            );
        }
    }
}

/// The peak resident memory in KiB, as the kernel counts it, and the time to the end.
fn peak_of(mut command: Command) -> (u64, Duration) {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is built");
    let mut stdin = child.stdin.take().expect("it is piped");
    let feeder = thread::spawn(move || {
        let chunk = vec![7; 1 << 16];
        for sent in (0..SIZE).step_by(chunk.len()) {
            // A process that reads nothing has closed its standard input.
            if stdin.write_all(&chunk[..chunk.len().min(SIZE - sent)]).is_err() {
                break;
            }
        }
    });
    let mut peak = 0;
    while child.try_wait().expect("it is our child").is_none() {
        peak = high_water(&child).unwrap_or(peak);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().expect("it is our child").success(), "it failed");
    feeder.join().expect("it does not panic");
    (peak, start.elapsed())
}

fn high_water(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
