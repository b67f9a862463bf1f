//! GCS, on the emulator.

mod faults;
mod signing;

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, bound, content, downloads, key, read, storage},
};
use bytes::Bytes;
use shared::storage::{Crc32c, Kind, Put, Retention, Sha256, SignPut, Storage};
use std::{
    convert::Infallible,
    io::Write,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tempfile::NamedTempFile;
use testing::{
    Client, Endless,
    gcs::{Auth, CLOSED_BUCKET, Fault, GcsEmulator, key_file},
};

const MINUTE: Duration = Duration::from_secs(60);

async fn world() -> World {
    let emulator = Arc::new(GcsEmulator::start("evidence").await);
    let behind = Arc::clone(&emulator);
    World {
        storage: on(&emulator, &[]),
        leftovers: Box::new(move || leftovers(&behind)),
        _server: Box::new(emulator),
    }
}

fn on(emulator: &GcsEmulator, settings: &[(&str, &str)]) -> Storage {
    let common = [
        ("GCS_BUCKET", "evidence"),
        ("STORAGE_EMULATOR_HOST", emulator.url.as_str()),
    ];
    storage(&[&common, settings].concat())
}

fn leftovers(emulator: &GcsEmulator) -> Vec<String> {
    let (keys, uploads) = emulator.contents();
    let staged = keys.into_iter().filter(|key| key.starts_with(".pilotlight/"));
    staged.chain((0..uploads).map(|_| "an upload".to_owned())).collect()
}

conforms!(world());
decides_races!(world());
takes_every_key!(world());

#[tokio::test]
async fn objects_of_others_are_listed_and_deleted_under_the_names_they_have() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    let foreign = [
        "/abs", "b//c", "uploads/", "x/../y", ".", "..", "./z", "//", " a", "a ", "%2F", "a\rb",
    ];
    let valid = ["abs", "b/c", "uploads", "y", "z", "a", "/".trim_start_matches('/')];
    let valid: Vec<&str> = valid.into_iter().filter(|name| !name.is_empty()).collect();
    for name in foreign.iter().chain(&valid) {
        emulator.put(name, "of others");
    }
    let listed = storage.list(None, None, 1000).await.unwrap().objects;
    assert_eq!(listed.len(), foreign.len() + valid.len());
    for object in &listed {
        let name = object.key.as_str();
        if foreign.contains(&name) {
            assert_eq!(storage.head(&object.key).await.unwrap().size, 9, "{name}");
            let copy = key(&format!("copies/{}", name.len()));
            storage.copy(&object.key, &copy, true).await.unwrap();
            storage.delete(&copy).await.unwrap();
            storage.delete(&object.key).await.unwrap();
            // A browser would open the URL of another object.
            let signed = storage.presign_get(&object.key, MINUTE, None).await;
            assert!(signed.is_err(), "{name}");
        }
    }
    let mut left = emulator.contents().0;
    left.sort();
    let mut expected = valid.clone();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_copy_is_of_what_its_attributes_belong_to_though_the_source_is_replaced_meanwhile() {
    for versioned in [false, true] {
        let emulator = GcsEmulator::start("evidence").await;
        if versioned {
            emulator.keep_versions();
        }
        let storage = on(&emulator, &[("STORAGE_TIMEOUT", "2s")]);
        let (from, to) = (key("from"), key("to"));
        storage.put(&from, content(1000), &Put::default()).await.unwrap();
        // The first attempt at the copy waits for half of the deadline, and meanwhile the source is replaced.
        emulator.next(&[Fault::None, Fault::Silence]);
        let replace = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            emulator.put("from", "of others");
        };
        let (copied, ()) = tokio::join!(storage.copy(&from, &to, false), replace);
        assert_eq!(read(&storage, "from", None).await.unwrap(), "of others");
        if versioned {
            let version = copied.unwrap();
            let copy = storage.head(&to).await.unwrap();
            assert_eq!((copy.sha256, copy.version), (Some(Sha256::of(&content(1000))), version));
            assert_eq!(read(&storage, "to", None).await.unwrap(), content(1000));
        } else {
            assert_eq!(copied.unwrap_err().kind, Kind::PreconditionFailed);
            assert_eq!(storage.head(&to).await.unwrap_err().kind, Kind::NotFound);
        }
    }
}

#[tokio::test]
async fn a_bucket_that_keeps_versions_keeps_no_second_copy_of_an_upload_and_nothing_that_was_deleted() {
    let emulator = GcsEmulator::start("evidence").await;
    emulator.keep_versions();
    let storage = on(&emulator, &[]);
    for (fault, requests) in [(Fault::None, 9), (Fault::LostAnswer, 10)] {
        // The ninth request is the one that deletes the staged object.
        emulator.next(&[vec![Fault::None; 8], vec![fault]].concat());
        let before = emulator.requests();
        storage.put(&key("a"), content(LARGE), &Put::default()).await.unwrap();
        assert_eq!(emulator.requests() - before, requests, "{fault:?}");
        assert_eq!(emulator.contents(), (vec!["a".to_owned()], 0), "{fault:?}");
        storage.delete(&key("a")).await.unwrap();
        assert_eq!(emulator.contents(), (Vec::new(), 0), "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_held_is_not_deleted_and_not_hidden() {
    let emulator = GcsEmulator::start("evidence").await;
    emulator.keep_versions();
    let storage = on(&emulator, &[]);
    let name = key("held");
    let stored = storage.put(&name, content(10), &Put::default()).await.unwrap();
    emulator.hold("held");
    assert_eq!(storage.delete(&name).await.unwrap_err().kind, Kind::Forbidden);
    let again = storage.put(&name, Bytes::from("x"), &Put::default()).await;
    assert_eq!(again.unwrap_err().kind, Kind::AlreadyExists);
    assert_eq!(read(&storage, "held", None).await.unwrap(), content(10));
    // Somebody else puts another object in its place: the one that was put is there under its version.
    emulator.put("held", "forged");
    assert_eq!(read(&storage, "held", None).await.unwrap(), "forged");
    let (object, _) = storage.get(name.at(stored.version.as_deref()), None).await.unwrap();
    assert_eq!(object.sha256, Some(stored.sha256));
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_not_patched_together() {
    use futures_util::StreamExt;
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    storage.put(&key("a"), content(1 << 20), &Put::default()).await.unwrap();
    emulator.next(&[Fault::Truncated]);
    let (_, stream) = storage.get(&key("a"), None).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    stream.next().await.unwrap().unwrap();
    let overwrite = Put {
        overwrite: true,
        ..Put::default()
    };
    storage
        .put(&key("a"), Bytes::from(vec![0; 1 << 20]), &overwrite)
        .await
        .unwrap();
    let mut last = Ok(Bytes::new());
    while let Some(chunk) = stream.next().await {
        last = chunk;
    }
    assert_eq!(last.unwrap_err().kind, Kind::PreconditionFailed);
}

#[tokio::test]
async fn a_flipped_byte_is_refused_on_the_way_in_on_the_way_out_and_at_rest() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    for size in [1000, LARGE] {
        emulator.always(Some(Fault::Flipped));
        let name = format!("in/{size}");
        let put = storage.put(&key(&name), content(size), &Put::default()).await;
        assert_eq!(put.unwrap_err().kind, Kind::Corrupt);
        emulator.always(None);
        assert_eq!(storage.head(&key(&name)).await.unwrap_err().kind, Kind::NotFound);
    }
    storage.put(&key("out"), content(1000), &Put::default()).await.unwrap();
    emulator.next(&[Fault::Flipped]);
    assert_eq!(read(&storage, "out", None).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(read(&storage, "out", None).await.unwrap(), content(1000));
    emulator.rot("out");
    assert_eq!(read(&storage, "out", None).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(leftovers(&emulator), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_bucket_and_a_closed_one_have_different_kinds() {
    let emulator = GcsEmulator::start("evidence").await;
    for (bucket, kind) in [("elsewhere", Kind::BucketNotFound), (CLOSED_BUCKET, Kind::Forbidden)] {
        let storage = storage(&[("GCS_BUCKET", bucket), ("STORAGE_EMULATOR_HOST", &emulator.url)]);
        assert_eq!(storage.head(&key("a")).await.unwrap_err().kind, kind);
        assert_eq!(storage.list(None, None, 10).await.unwrap_err().kind, kind);
        assert_eq!(storage.delete(&key("a")).await.unwrap_err().kind, kind);
        for size in [1, LARGE] {
            let put = storage.put(&key("a"), content(size), &Put::default()).await;
            assert_eq!(put.unwrap_err().kind, kind);
        }
    }
}

#[tokio::test]
async fn it_has_no_holds_and_says_where_they_are() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    let error = storage
        .set_retention(&key("a"), Retention::Compliance(SystemTime::now()))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.chain().contains("Object Lock"), "{}", error.chain());
}
