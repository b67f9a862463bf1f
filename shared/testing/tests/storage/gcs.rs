//! GCS, on the emulator.

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, bound, content, key, read, storage},
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

/// Faults that pass.
const PASSING: [Fault; 6] = [
    Fault::Status(408),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Status(503),
    Fault::Reset,
    Fault::LostAnswer,
];

#[tokio::test]
async fn every_operation_gets_over_every_fault_that_passes_at_every_request_it_makes() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    let content = content(LARGE);
    // A large put makes 10 requests: at each of them.
    for (fault, at) in [Fault::Status(503), Fault::Reset, Fault::LostAnswer]
        .into_iter()
        .flat_map(|fault| (0..10).map(move |at| (fault, at)))
    {
        let name = format!("{fault:?}/{at}");
        emulator.next(&[vec![Fault::None; at], vec![fault]].concat());
        let put = storage.put(&key(&name), content.clone(), &Put::default()).await;
        put.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        assert_eq!(
            storage.head(&key(&name)).await.unwrap().sha256,
            Some(Sha256::of(&content))
        );
    }
    for fault in PASSING {
        for operation in ["put", "copy", "get", "head", "list", "delete"] {
            let (name, small) = (key(&format!("{fault:?}/{operation}")), Bytes::from("x"));
            storage.put(&name, small.clone(), &Put::default()).await.unwrap();
            emulator.next(&[fault]);
            let done = match operation {
                "put" => storage
                    .put(&key(&format!("{name}/put")), small, &Put::default())
                    .await
                    .map(drop),
                "copy" => storage
                    .copy(&name, &key(&format!("{name}/copy")), false)
                    .await
                    .map(drop),
                "get" => read(&storage, name.as_str(), None).await.map(drop),
                "head" => storage.head(&name).await.map(drop),
                "list" => storage.list(None, None, 10).await.map(drop),
                _ => storage.delete(&name).await,
            };
            done.unwrap_or_else(|error| panic!("{operation} {fault:?}: {}", error.chain()));
        }
    }
    assert_eq!(leftovers(&emulator), Vec::<String>::new());
}

#[tokio::test]
async fn a_fault_that_stays_has_a_name_and_ends_within_the_deadline() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    storage
        .put(&key("there"), Bytes::from("x"), &Put::default())
        .await
        .unwrap();
    for (fault, kind) in [
        (Fault::Status(401), Kind::Unauthenticated),
        (Fault::Status(403), Kind::Forbidden),
        (Fault::Status(408), Kind::Timeout),
        (Fault::Status(429), Kind::Throttled),
        (Fault::Status(503), Kind::Unreachable),
        (Fault::Reset, Kind::Unreachable),
        (Fault::Silence, Kind::Timeout),
    ] {
        emulator.always(Some(fault));
        let start = Instant::now();
        assert_eq!(storage.head(&key("there")).await.unwrap_err().kind, kind, "{fault:?}");
        assert_eq!(read(&storage, "there", None).await.unwrap_err().kind, kind, "{fault:?}");
        let put = storage.put(&key("new"), Bytes::from("x"), &Put::default()).await;
        assert_eq!(put.unwrap_err().kind, kind, "{fault:?}");
        let large = storage.put(&key("large"), content(LARGE), &Put::default()).await;
        assert_eq!(large.unwrap_err().kind, kind, "{fault:?}");
        assert!(
            start.elapsed() < Duration::from_millis(4500),
            "{fault:?} {:?}",
            start.elapsed()
        );
        emulator.always(None);
    }
    assert_eq!(read(&storage, "there", None).await.unwrap(), "x");
}

#[tokio::test]
async fn parts_go_on_while_a_slow_source_is_waited_for() {
    use futures_util::{StreamExt, stream};
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    let content = content(LARGE);
    let (first, rest) = (content.slice(..8 << 20), content.slice(8 << 20..));
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(leftovers(&emulator), ["an upload"], "the first part has not arrived");
        Ok::<_, Infallible>(rest)
    });
    let source = stream::iter([Ok(first)]).chain(later);
    let put = storage.put_stream(&key("slow"), source, &Put::default()).await;
    put.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert!(read(&storage, "slow", None).await.unwrap() == content);
}

#[tokio::test]
async fn a_body_that_breaks_is_continued_and_one_that_always_breaks_is_unreachable() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    let content = content(1 << 20);
    storage.put(&key("a"), content.clone(), &Put::default()).await.unwrap();
    emulator.next(&[Fault::Truncated; 3]);
    assert!(read(&storage, "a", None).await.unwrap() == content);
    emulator.next(&[Fault::Truncated]);
    assert!(read(&storage, "a", Some(1000..500_000)).await.unwrap() == content.slice(1000..500_000));
    // Each continuation gets half of what is left, and then nothing does.
    emulator.next(&[Fault::Truncated, Fault::Status(403)]);
    assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, Kind::Forbidden);
}

#[tokio::test]
async fn a_read_that_makes_no_progress_ends_however_often_the_store_answers() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "2s")]);
    // Half of a byte is none.
    storage.put(&key("a"), content(1), &Put::default()).await.unwrap();
    emulator.always(Some(Fault::Truncated));
    let (start, before) = (Instant::now(), emulator.requests());
    assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, Kind::Unreachable);
    let requests = emulator.requests() - before;
    assert!((5..25).contains(&requests), "{requests} requests");
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_read_that_gets_a_part_at_each_request_is_whole_in_the_end() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "2s")]);
    storage.put(&key("a"), content(4096), &Put::default()).await.unwrap();
    let before = emulator.requests();
    emulator.next(&[Fault::Truncated; 10]);
    assert_eq!(read(&storage, "a", None).await.unwrap(), content(4096));
    assert_eq!(emulator.requests() - before, 11, "each was cut");
}

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
async fn a_missing_bucket_and_a_closed_one_are_told_apart() {
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

fn with_key_file(emulator: &GcsEmulator) -> (Storage, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(key_file().as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (on(emulator, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]), file)
}

#[tokio::test]
async fn a_key_file_signs_in_and_anybody_else_does_not() {
    let emulator = GcsEmulator::start("evidence").await;
    emulator.serve_only(Auth::KeyFile);
    let (storage, _file) = with_key_file(&emulator);
    storage.put(&key("a"), content(LARGE), &Put::default()).await.unwrap();
    let anybody = on(&emulator, &[]);
    assert_eq!(anybody.head(&key("a")).await.unwrap_err().kind, Kind::Unauthenticated);
}

#[tokio::test]
async fn a_signed_url_downloads_under_any_file_name_and_is_held_to_its_signature() {
    let emulator = GcsEmulator::start("evidence").await;
    let (storage, _file) = with_key_file(&emulator);
    for name in ["a", "a ä?#%25&/b+c"] {
        storage.put(&key(name), content(1000), &Put::default()).await.unwrap();
        let signed = storage
            .presign_get(&key(name), MINUTE, Some("Beweis Ä\"\r\n.pdf"))
            .await
            .unwrap();
        assert_eq!((signed.method.as_str(), signed.headers.len()), ("GET", 0));
        let encoded =
            "response-content-disposition=attachment%3B%20filename%3D%22Beweis%20____.pdf%22%3B%20filename%2A";
        assert!(signed.url.contains(encoded), "{}", signed.url);
        let answer = Client::http1().get(&signed.url).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.clone()),
            (200, content(1000)),
            "{}",
            answer.text()
        );
        for tampered in [
            signed.url.replace("X-Goog-Expires=60", "X-Goog-Expires=600"),
            signed.url.replace("Beweis", "Rechnung"),
            signed.url.replace("/evidence/a", "/evidence/b"),
        ] {
            assert_eq!(Client::http1().get(&tampered).await.status, 403, "{tampered}");
        }
    }
    let short = storage
        .presign_get(&key("a"), Duration::from_secs(1), None)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(Client::http1().get(&short.url).await.status, 400);
}

#[tokio::test]
async fn a_signed_upload_takes_what_was_signed_and_nothing_else() {
    let emulator = GcsEmulator::start("evidence").await;
    let (storage, _file) = with_key_file(&emulator);
    let content = content(1000);
    let put = SignPut {
        lifetime: MINUTE,
        length: 1000,
        content_type: Some("application/pdf".to_owned()),
        sha256: Some(Sha256::of(&content)),
        crc32c: Some(Crc32c::of(&content)),
        overwrite: false,
    };
    let signed = storage.presign_put(&key("a"), &put).await.unwrap();
    let headers = bound(&signed);
    let client = Client::http1();
    let mut other = content.to_vec();
    other[0] ^= 1;
    assert_eq!(client.put(&signed.url, &headers, other.into()).await.status, 400);
    assert_eq!(client.put(&signed.url, &headers, content.slice(1..)).await.status, 400);
    let added = [&headers[..], &[("x-goog-meta-evil", "1")]].concat();
    assert_eq!(client.put(&signed.url, &added, content.clone()).await.status, 403);
    let answer = client.put(&signed.url, &headers, content.clone()).await;
    assert_eq!(answer.status, 200, "{} {headers:?}", answer.text());
    let object = storage.head(&key("a")).await.unwrap();
    assert_eq!(
        (object.sha256, object.content_type.as_deref()),
        (put.sha256, Some("application/pdf"))
    );
    assert_eq!(client.put(&signed.url, &headers, content).await.status, 412);
}

/// The SDK finds the metadata server through the environment of the process: hence a process.
async fn evidence(emulator: &GcsEmulator, metadata: &str, arguments: &'static [&str]) -> Output {
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(binary.ancestors().nth(2).unwrap().join("examples/evidence"));
    command
        .args(arguments)
        .env_clear()
        .env("GCS_BUCKET", "evidence")
        .env("STORAGE_EMULATOR_HOST", &emulator.url)
        .env("GCE_METADATA_HOST", metadata)
        .env("GCE_METADATA_IP", metadata)
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_workload_identity_signs_in_and_signs_urls_without_a_key() {
    let emulator = GcsEmulator::start("evidence").await;
    on(&emulator, &[])
        .put(&key("a"), content(1000), &Put::default())
        .await
        .unwrap();
    emulator.serve_only(Auth::Metadata);
    let metadata = emulator.url.trim_start_matches("http://").to_owned();
    let listed = evidence(&emulator, &metadata, &["list"]).await;
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "a\n", "{listed:?}");
    let signed = evidence(&emulator, &metadata, &["sign", "a", "Ä.pdf"]).await;
    let url = String::from_utf8_lossy(&signed.stdout).trim().to_owned();
    assert!(url.starts_with(&emulator.url), "{signed:?}");
    let answer = Client::http1().get(&url).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.clone()),
        (200, content(1000)),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_token_that_never_ends_is_no_token() {
    let emulator = GcsEmulator::start("evidence").await;
    let metadata = Endless::start(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
        "{\"access_token\": \"",
    )
    .await;
    let start = Instant::now();
    let listed = evidence(&emulator, metadata.url.trim_start_matches("http://"), &["list"]).await;
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(said.contains("credentials are not accepted"), "{said}");
    assert!(metadata.taken() < 64 << 20);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_example_lists_to_the_last_page() {
    let emulator = GcsEmulator::start("evidence").await;
    let names: Vec<String> = (0..2100).map(|number| format!("{number:04}\n")).collect();
    for name in &names {
        emulator.put(name.trim(), "x");
    }
    // Pages of nothing but what is on its way.
    for number in 0..1100 {
        emulator.put(&format!(".pilotlight/uploads/{number}"), "x");
    }
    emulator.serve_only(Auth::Metadata);
    let metadata = emulator.url.trim_start_matches("http://").to_owned();
    let listed = evidence(&emulator, &metadata, &["list"]).await;
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout),
        names.concat(),
        "{:?}",
        listed.stderr
    );
}

#[tokio::test]
async fn where_there_is_nothing_to_sign_with_the_error_says_what_is_needed() {
    let emulator = GcsEmulator::start("evidence").await;
    let nowhere = evidence(&emulator, "127.0.0.1:1", &["sign", "a"]).await;
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(
        !nowhere.status.success() && said.contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{nowhere:?}"
    );
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
