//! S3, on servers that others wrote.

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, bound, content, files, key, read, storage},
};
use bytes::Bytes;
use shared::{
    storage::{Hold, Kind, Put, Retention, Sha256, SignPut, Storage},
    testing::{
        Client,
        s3::{ACCESS_KEY, ACCESS_KEY_WITHOUT_LIST, CLOSED_BUCKET, S3Server, SECRET_KEY},
    },
};
use std::time::{Duration, SystemTime};

fn on(server: &str, bucket: &str, secret: &str) -> Storage {
    with_key(server, bucket, ACCESS_KEY, secret)
}

fn with_key(server: &str, bucket: &str, access_key: &str, secret: &str) -> Storage {
    storage(&[
        ("S3_BUCKET", bucket),
        ("AWS_ENDPOINT_URL_S3", server),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", access_key),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ])
}

mod s3s_fs {
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
    async fn a_missing_bucket_a_closed_one_and_wrong_credentials_are_told_apart() {
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
        let answer = Client::http1().get(&signed.url).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.clone()),
            (200, content(1000)),
            "{}",
            answer.text()
        );
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
        assert_eq!(answer.status, 200, "{} {headers:?}", answer.text());
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
        assert_eq!(answer.status, 400, "{}", answer.text());
        let mut shorter = bound(&signed);
        shorter.retain(|(name, _)| *name != "content-length");
        let answer = Client::http1().put(&signed.url, &shorter, content.slice(1..)).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}

mod moto {
    use super::*;
    use crate::moto::{Moto, leftovers};

    async fn world() -> World {
        let moto = Moto::start();
        let port = moto.port;
        World {
            storage: on(&format!("http://127.0.0.1:{port}"), "evidence", SECRET_KEY),
            leftovers: Box::new(move || leftovers(port)),
            _server: Box::new(moto),
        }
    }

    // Not its races: it looks and then writes.
    conforms!(
        world(),
        #[ignore = "needs moto, which .ci/run installs"]
    );
    takes_every_key!(
        world(),
        #[ignore = "needs moto, which .ci/run installs"]
    );

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn a_hold_keeps_an_object_and_can_be_read() {
        let world = world().await;
        let (storage, name) = (&world.storage, key("held"));
        storage.put(&name, Bytes::from("x"), &Put::default()).await.unwrap();
        let nothing = Hold {
            legal: false,
            retention: None,
        };
        assert_eq!(storage.hold(&name).await.unwrap(), nothing);
        storage.set_legal_hold(&name, true).await.unwrap();
        // Whole seconds: S3 keeps no more.
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        storage
            .set_retention(&name, Retention::Governance(until))
            .await
            .unwrap();
        let held = Hold {
            legal: true,
            retention: Some(Retention::Governance(until)),
        };
        assert_eq!(storage.hold(&name).await.unwrap(), held);
        storage.set_legal_hold(&name, false).await.unwrap();
        assert!(!storage.hold(&name).await.unwrap().legal);
    }

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn a_signed_download_has_any_file_name() {
        let world = world().await;
        world
            .storage
            .put(&key("a"), Bytes::from("x"), &Put::default())
            .await
            .unwrap();
        let name = "Beweis Ä 証拠\"\r\nX-Evil: 1.pdf";
        let signed = world
            .storage
            .presign_get(&key("a"), Duration::from_secs(60), Some(name))
            .await
            .unwrap();
        let answer = Client::http1().get(&signed.url).await;
        let disposition = answer.headers["content-disposition"].to_str().unwrap();
        assert!(
            disposition.contains("filename*=UTF-8''Beweis%20%C3%84%20"),
            "{disposition}"
        );
        assert!(!answer.headers.contains_key("x-evil"));
    }
}
