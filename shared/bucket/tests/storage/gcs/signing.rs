//! Sign-in, and signed URLs.

use super::*;

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
        downloads(&signed, content(1000)).await;
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
    assert_eq!(answer.status, 200, "{} {headers:?}", answer.transcript());
    let object = storage.head(&key("a")).await.unwrap();
    assert_eq!(
        (object.sha256, object.content_type.as_deref()),
        (put.sha256, Some("application/pdf"))
    );
    assert_eq!(client.put(&signed.url, &headers, content).await.status, 412);
}

/// The SDK finds the metadata server through the environment of the process: hence a process.
async fn bucket(emulator: &GcsEmulator, metadata: &str, arguments: &'static [&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bucket"));
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
    let listed = bucket(&emulator, &metadata, &["list"]).await;
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "a\n", "{listed:?}");
    let signed = bucket(&emulator, &metadata, &["sign", "a", "Ä.pdf"]).await;
    let url = String::from_utf8_lossy(&signed.stdout).trim().to_owned();
    assert!(url.starts_with(&emulator.url), "{signed:?}");
    let answer = Client::http1().get(&url).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.clone()),
        (200, content(1000)),
        "{}",
        answer.transcript()
    );
}

#[tokio::test]
async fn a_token_that_never_ends_is_refused() {
    let emulator = GcsEmulator::start("evidence").await;
    let metadata = Endless::start(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
        "{\"access_token\": \"",
    )
    .await;
    let start = Instant::now();
    let listed = bucket(&emulator, metadata.url.trim_start_matches("http://"), &["list"]).await;
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(said.contains("credentials are not accepted"), "{said}");
    assert!(metadata.taken() < 64 << 20);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn it_lists_to_the_last_page() {
    let emulator = GcsEmulator::start("evidence").await;
    let names: Vec<String> = (0..2100).map(|number| format!("{number:04}\n")).collect();
    for name in &names {
        emulator.put(name.trim(), "x");
    }
    // Pages that hold nothing but unfinished uploads.
    for number in 0..1100 {
        emulator.put(&format!(".pilotlight/uploads/{number}"), "x");
    }
    emulator.serve_only(Auth::Metadata);
    let metadata = emulator.url.trim_start_matches("http://").to_owned();
    let listed = bucket(&emulator, &metadata, &["list"]).await;
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
    let nowhere = bucket(&emulator, "127.0.0.1:1", &["sign", "a"]).await;
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(
        !nowhere.status.success() && said.contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{nowhere:?}"
    );
}
