//! On `s3s-fs`, which checks signatures.

use super::*;

async fn world() -> World {
    let server = S3Server::start("evidence").await;
    let root = server.root().to_owned();
    World {
        storage: on(&server.url, "evidence", SECRET_KEY),
        leftovers: Box::new(move || {
            let mut left = files(&root);
            left.retain(|file| file.contains("upload"));
            left
        }),
        _server: Box::new(server),
    }
}

conforms!(world());
decides_races!(world());

#[tokio::test]
async fn a_missing_bucket_a_closed_one_and_wrong_credentials_have_different_kinds() {
    let server = S3Server::start("evidence").await;
    for (bucket, secret, kind) in [
        ("elsewhere", SECRET_KEY, Kind::BucketNotFound),
        (CLOSED_BUCKET, SECRET_KEY, Kind::Forbidden),
        ("evidence", "wrong", Kind::Unauthenticated),
    ] {
        let storage = on(&server.url, bucket, secret);
        assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, kind);
        assert_eq!(storage.list(None, None, 10).await.unwrap_err().kind, kind);
        let put = storage.put(&key("a"), Bytes::from("x"), &Put::default()).await;
        assert_eq!(put.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn objects_of_any_size_can_be_put_without_the_right_to_list() {
    let server = S3Server::start("evidence").await;
    let storage = with_key(&server.url, "evidence", ACCESS_KEY_WITHOUT_LIST, SECRET_KEY);
    assert_eq!(storage.head(&key("a")).await.unwrap_err().kind, Kind::Forbidden);
    for size in [1000, LARGE] {
        let name = format!("put/{size}");
        storage.put(&key(&name), content(size), &Put::default()).await.unwrap();
        let again = storage.put(&key(&name), content(size), &Put::default()).await;
        assert_eq!(again.unwrap_err().kind, Kind::AlreadyExists);
        assert!(read(&storage, &name, None).await.unwrap() == content(size));
    }
}

#[tokio::test]
async fn a_file_that_rots_is_refused() {
    let server = S3Server::start("evidence").await;
    let storage = on(&server.url, "evidence", SECRET_KEY);
    storage.put(&key("a"), content(1000), &Put::default()).await.unwrap();
    let file = server.root().join("evidence/a");
    let mut rotten = std::fs::read(&file).unwrap();
    rotten[500] ^= 1;
    std::fs::write(&file, rotten).unwrap();
    assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, Kind::Corrupt);
}

#[tokio::test]
async fn a_signed_url_downloads_and_is_held_to_its_signature() {
    let server = S3Server::start("evidence").await;
    let storage = on(&server.url, "evidence", SECRET_KEY);
    storage.put(&key("a ä?"), content(1000), &Put::default()).await.unwrap();
    let signed = storage
        .presign_get(&key("a ä?"), Duration::from_secs(60), Some("Beweis Ä\".pdf"))
        .await
        .unwrap();
    downloads(&signed, content(1000)).await;
    let tampered = Client::http1()
        .get(&signed.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
        .await;
    assert_eq!(tampered.status, 403);
    let too_long = storage
        .presign_get(&key("a"), Duration::from_secs(8 * 24 * 60 * 60), None)
        .await;
    assert_eq!(too_long.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn a_signed_upload_takes_what_was_signed_and_nothing_else() {
    let server = S3Server::start("evidence").await;
    let storage = on(&server.url, "evidence", SECRET_KEY);
    let content = content(1000);
    let put = SignPut {
        lifetime: Duration::from_secs(60),
        length: 1000,
        content_type: Some("application/pdf".to_owned()),
        sha256: Some(Sha256::of(&content)),
        crc32c: None,
        overwrite: false,
    };
    let signed = storage.presign_put(&key("a"), &put).await.unwrap();
    let headers = bound(&signed);
    let send = async |headers: &[(&str, &str)], body: Bytes| Client::http1().put(&signed.url, headers, body).await;
    let mut other_type = headers.clone();
    other_type.retain(|(name, _)| *name != "content-type");
    other_type.push(("content-type", "text/html"));
    assert_eq!(send(&other_type, content.clone()).await.status, 403);
    assert_eq!(storage.head(&key("a")).await.unwrap_err().kind, Kind::NotFound);
    let answer = send(&headers, content.clone()).await;
    assert_eq!(answer.status, 200, "{} {headers:?}", answer.transcript());
    let object = storage.head(&key("a")).await.unwrap();
    assert_eq!(
        (object.sha256, object.content_type.as_deref()),
        (put.sha256, Some("application/pdf"))
    );
    assert_eq!(send(&headers, content.clone()).await.status, 412);
    let signed = storage.presign_put(&key("b"), &put).await.unwrap();
    let mut other = content.to_vec();
    other[0] ^= 1;
    let answer = Client::http1().put(&signed.url, &bound(&signed), other.into()).await;
    assert_eq!(answer.status, 400, "{}", answer.transcript());
    let mut shorter = bound(&signed);
    shorter.retain(|(name, _)| *name != "content-length");
    let answer = Client::http1().put(&signed.url, &shorter, content.slice(1..)).await;
    assert_eq!(answer.status, 403, "{}", answer.transcript());
}
