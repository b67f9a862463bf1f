//! Stores whose answers never end.

use crate::world::{key, read, storage};
use bytes::Bytes;
use shared::storage::{Kind, Put, Storage};
use std::time::{Duration, Instant};
use testing::Endless;

/// How many bytes a connection takes beyond those that are read: the buffers of its sockets.
const MIB: u64 = 1 << 20;

fn on_gcs(url: &str) -> Storage {
    let settings = [("GCS_BUCKET", "evidence"), ("STORAGE_EMULATOR_HOST", url)];
    storage(&[&settings[..], &[("STORAGE_TIMEOUT", "2s")]].concat())
}

fn on_s3(url: &str) -> Storage {
    storage(&[
        ("S3_BUCKET", "evidence"),
        ("AWS_ENDPOINT_URL_S3", url),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("STORAGE_TIMEOUT", "2s"),
    ])
}

/// The kind of error of every operation, each of which takes no more than the limit.
async fn each(storage: &Storage, server: &Endless, limit: u64) -> Vec<Kind> {
    let (name, small) = (key("a"), Bytes::from("x"));
    let mut kinds = Vec::new();
    for operation in ["get", "list", "put", "delete"] {
        let start = Instant::now();
        let done = match operation {
            "get" => read(storage, "a", None).await.map(drop),
            "list" => storage.list(None, None, 10).await.map(drop),
            "put" => storage.put(&name, small.clone(), &Put::default()).await.map(drop),
            _ => storage.delete(&name).await,
        };
        let taken = server.taken();
        assert!((1..limit).contains(&taken), "{operation}: {taken} {done:?}");
        assert!(
            start.elapsed() < Duration::from_secs(6),
            "{operation}: {:?}",
            start.elapsed()
        );
        kinds.extend(done.err().map(|error| error.kind));
    }
    kinds
}

#[tokio::test]
async fn an_error_that_never_ends_is_read_in_part() {
    for (status, kind) in [(403, Kind::Forbidden), (400, Kind::Other), (503, Kind::Unreachable)] {
        for length in ["", "Content-Length: 9000000000000000000\r\n"] {
            let head = format!("HTTP/1.1 {status} Bad\r\n{length}");
            let server = Endless::start(&head, "<Error><Message>NoSuchBucket").await;
            for storage in [on_gcs(&server.url), on_s3(&server.url)] {
                assert_eq!(each(&storage, &server, 64 * MIB).await, [kind; 4], "{status} {length}");
            }
        }
    }
}

#[tokio::test]
async fn a_listing_that_never_ends_is_an_error_and_content_that_never_ends_is_corrupt() {
    let text = "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>";
    let head = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nLast-Modified: Thu, 26 Nov 2026 07:00:00 GMT\r\n";
    let server = Endless::start(head, text).await;
    for storage in [on_gcs(&server.url), on_s3(&server.url)] {
        let start = Instant::now();
        let listed = storage.list(None, None, 10).await.unwrap_err();
        assert_eq!(listed.kind, Kind::Unreachable, "{}", listed.chain());
        let taken = server.taken();
        assert!((8 * MIB..200 * MIB).contains(&taken), "{taken}");
        assert!(read(&storage, "a", None).await.is_err());
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    }
    let bounded = Endless::start(&format!("{head}Content-Length: 10\r\n"), text).await;
    for storage in [on_gcs(&bounded.url), on_s3(&bounded.url)] {
        assert_eq!(read(&storage, "a", None).await.unwrap().len(), 10);
    }
}
