//! S3, on servers that others wrote.

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, bound, content, files, key, read, storage},
};
use bytes::Bytes;
use shared::storage::{Hold, Kind, Put, Retention, Sha256, SignPut, Storage};
use std::time::{Duration, SystemTime};
use testing::{
    Client,
    s3::{ACCESS_KEY, ACCESS_KEY_WITHOUT_LIST, CLOSED_BUCKET, S3Server, SECRET_KEY},
};

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

mod without_versions {
    use super::*;
    use axum::{
        extract::Request,
        http::{HeaderMap, Method, StatusCode},
        response::IntoResponse,
        routing::any,
    };
    use std::sync::{Arc, Mutex};
    use testing::loopback;

    /// The answers of S3 to a copy whose source was replaced after the first look.
    fn answer(request: &Request) -> (StatusCode, HeaderMap, &'static str) {
        let mut headers = HeaderMap::new();
        headers.insert("etag", "\"looked-at\"".parse().unwrap());
        let (status, body) = match *request.method() {
            Method::HEAD if request.uri().path().ends_with("/from") => {
                headers.insert("content-length", 10.into());
                (200, "")
            }
            Method::POST => (
                200,
                "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            ),
            Method::PUT => (412, "<Error><Code>PreconditionFailed</Code></Error>"),
            Method::DELETE => (204, ""),
            _ => (404, "<Error><Code>NoSuchKey</Code></Error>"),
        };
        (StatusCode::from_u16(status).unwrap(), headers, body)
    }

    #[tokio::test]
    async fn a_copy_is_of_the_content_that_was_looked_at_or_fails() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let server = axum::Router::new().fallback(any(move |request: Request| {
            let condition = request.headers().get("x-amz-copy-source-if-match").cloned();
            log.lock().unwrap().push((request.method().clone(), condition));
            let answer = answer(&request);
            async move { answer.into_response() }
        }));
        let (listener, url) = loopback().await;
        let server = tokio::spawn(async move { axum::serve(listener, server).await });
        let storage = on(&url, "evidence", SECRET_KEY);
        let copied = storage.copy(&key("from"), &key("to"), false).await.unwrap_err();
        assert_eq!(copied.kind, Kind::PreconditionFailed, "{}", copied.chain());
        let seen = seen.lock().unwrap().clone();
        let copies: Vec<_> = seen.iter().filter(|(method, _)| method == Method::PUT).collect();
        assert_eq!(copies, [&(Method::PUT, Some("\"looked-at\"".parse().unwrap()))]);
        assert_eq!(seen.last().unwrap().0, Method::DELETE, "the upload is left behind");
        server.abort();
    }
}

mod moto {
    use super::*;
    use crate::moto::{Moto, leftovers, request, versions};

    fn on_moto(moto: &Moto) -> Storage {
        on(&format!("http://127.0.0.1:{}", moto.port), "evidence", SECRET_KEY)
    }

    async fn world() -> World {
        let moto = Moto::start();
        let port = moto.port;
        World {
            storage: on_moto(&moto),
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
    async fn what_is_held_is_not_deleted_not_hidden_and_not_replaced() {
        let moto = Moto::start();
        let storage = on_moto(&moto);
        let name = key("held");
        let stored = storage.put(&name, content(10), &Put::default()).await.unwrap();
        let held = name.at(stored.version.as_deref());
        storage.set_legal_hold(held, true).await.unwrap();
        for object in [held, (&name).into()] {
            assert_eq!(storage.delete(object).await.unwrap_err().kind, Kind::Forbidden);
        }
        assert_eq!(read(&storage, "held", None).await.unwrap(), content(10));
        assert_eq!(versions(moto.port, "held"), ["held"]);
        // The wrong way, as the control: without a version, S3 hides what is held, and a create-only put takes its place.
        let deleted = |name: &str| request(moto.port, "DELETE", &format!("/evidence/{name}"), "").0;
        let put = |name: &str| request(moto.port, "PUT", &format!("/evidence/{name}"), "If-None-Match: *\r\n").0;
        assert_eq!((put("held"), deleted("held"), put("held")), (412, 204, 200));
        // By its version it is read all the same.
        let (object, _) = storage.get(held, None).await.unwrap();
        assert_eq!((object.size, object.sha256), (10, Some(stored.sha256)));
        assert_eq!(read(&storage, "held", None).await.unwrap(), "");
        let signed = storage.presign_get(held, Duration::from_secs(60), None).await.unwrap();
        assert_eq!(Client::http1().get(&signed.url).await.body, content(10));
    }

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn what_somebody_else_has_hidden_is_not_found_and_its_place_not_given_away() {
        let moto = Moto::start();
        let storage = on_moto(&moto);
        for size in [10, LARGE] {
            let name = key(&format!("hidden/{size}"));
            let stored = storage.put(&name, content(size), &Put::default()).await.unwrap();
            assert_eq!(request(moto.port, "DELETE", &format!("/evidence/{name}"), "").0, 204);
            assert_eq!(storage.head(&name).await.unwrap_err().kind, Kind::NotFound);
            for forged in [1, LARGE] {
                let put = storage.put(&name, content(forged), &Put::default()).await;
                assert_eq!(put.unwrap_err().kind, Kind::AlreadyExists, "{forged}");
            }
            storage
                .put(
                    &key("from"),
                    content(5),
                    &Put {
                        overwrite: true,
                        ..Put::default()
                    },
                )
                .await
                .unwrap();
            let copied = storage.copy(&key("from"), &name, false).await;
            assert_eq!(copied.unwrap_err().kind, Kind::AlreadyExists);
            // No marker more, and nothing less.
            storage.delete(&name).await.unwrap();
            assert_eq!(versions(moto.port, name.as_str()).len(), 2);
            let (object, _) = storage.get(name.at(stored.version.as_deref()), None).await.unwrap();
            assert_eq!(object.sha256, Some(stored.sha256));
        }
        assert_eq!(leftovers(moto.port), Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn what_is_deleted_is_gone_in_every_version_up_to_one_that_is_held() {
        let moto = Moto::start();
        let storage = on_moto(&moto);
        let overwrite = Put {
            overwrite: true,
            ..Put::default()
        };
        let name = key("versions");
        for round in 0..2 {
            let first = storage.put(&name, content(1), &Put::default()).await.unwrap();
            storage.put(&name, content(2), &overwrite).await.unwrap();
            storage.put(&name, content(3), &overwrite).await.unwrap();
            assert_eq!(versions(moto.port, "versions").len(), 3);
            if round == 0 {
                storage.delete(&name).await.unwrap();
                assert_eq!(versions(moto.port, "versions"), Vec::<String>::new());
            } else {
                storage
                    .set_legal_hold(name.at(first.version.as_deref()), true)
                    .await
                    .unwrap();
                assert_eq!(storage.delete(&name).await.unwrap_err().kind, Kind::Forbidden);
                assert_eq!(read(&storage, "versions", None).await.unwrap(), content(1));
            }
        }
    }

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn objects_of_others_are_listed_and_deleted_under_the_names_they_have() {
        let moto = Moto::start();
        let storage = on_moto(&moto);
        let (foreign, valid) = (["b//c", "uploads/", "/abs", "%20"], ["b/c", "uploads", "abs"]);
        for name in foreign.iter().chain(&valid) {
            assert_eq!(
                request(moto.port, "PUT", &format!("/evidence/{name}"), "").0,
                200,
                "{name}"
            );
        }
        for object in storage.list(None, None, 1000).await.unwrap().objects {
            let name = object.key.as_str();
            if name == " " {
                assert_eq!(storage.delete(&object.key).await.unwrap_err().kind, Kind::Unsupported);
            } else if foreign.contains(&name) {
                storage.delete(&object.key).await.unwrap();
            }
        }
        let mut left = versions(moto.port, "");
        left.sort();
        assert_eq!(left, [" ", "abs", "b/c", "uploads"]);
    }

    #[tokio::test]
    #[ignore = "needs moto, which .ci/run installs"]
    async fn a_copy_is_of_the_version_that_was_looked_at() {
        let moto = Moto::start();
        let storage = on_moto(&moto);
        let from = key("from");
        let first = storage.put(&from, content(1000), &Put::default()).await.unwrap();
        request(moto.port, "PUT", "/evidence/from", "");
        let to = key("to");
        storage
            .copy(from.at(first.version.as_deref()), &to, false)
            .await
            .unwrap();
        assert_eq!(read(&storage, "to", None).await.unwrap(), content(1000));
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
