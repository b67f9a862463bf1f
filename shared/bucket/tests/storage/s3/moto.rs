//! On moto, which keeps versions and holds.

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

// Races are left out: moto looks first and writes then.
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
    // A read that names the version still succeeds.
    let (object, _) = storage.get(held, None).await.unwrap();
    assert_eq!((object.size, object.sha256), (10, Some(stored.sha256)));
    assert_eq!(read(&storage, "held", None).await.unwrap(), "");
    let signed = storage.presign_get(held, Duration::from_secs(60), None).await.unwrap();
    assert_eq!(Client::http1().get(&signed.url).await.body, content(10));
}

#[tokio::test]
#[ignore = "needs moto, which .ci/run installs"]
async fn what_somebody_else_has_hidden_is_not_found_and_its_place_is_not_reused() {
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
