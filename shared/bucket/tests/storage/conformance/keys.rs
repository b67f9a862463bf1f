//! Keys of any form.

use super::*;

pub async fn any_key_comes_back_as_it_is(world: World) {
    let storage = &world.storage;
    for name in [
        "a b",
        "ä/日本語/🦀",
        "q?x=1&y#z",
        "100%",
        "%2e%2e/x",
        "plus+minus",
        "..a/b..",
        "a'b\"c",
        "<&>",
        "~^`|{}[]",
        " a ",
        "\u{a0}a",
        "a#1",
        "a%object/b",
        ".b/...",
    ] {
        let put = storage.put(&key(name), Bytes::from(name), &Put::default()).await;
        put.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        assert_eq!(read(storage, name, None).await.unwrap(), Bytes::from(name), "{name}");
        storage.head(&key(name)).await.unwrap();
        let listed = storage.list(None, None, 10).await.unwrap();
        assert_eq!(
            listed
                .objects
                .iter()
                .map(|object| object.key.as_str())
                .collect::<Vec<_>>(),
            [name]
        );
        storage.delete(&key(name)).await.unwrap();
        assert_eq!(failed(storage.head(&key(name)).await), Kind::NotFound, "{name}");
    }
}

pub async fn keys_that_are_alike_do_not_meet(world: World) {
    let storage = &world.storage;
    let long = "l".repeat(600);
    let mut names = ["a", "a/b", "a/b/c", "a#1", "a%2Fb", "A", "a%object", "..a", &long].map(str::to_owned);
    names.sort();
    let longer = format!("{}/{}..", "ä".repeat(200), "m".repeat(240));
    let names = [&names[..], &[longer]].concat();
    for name in &names {
        let put = storage
            .put(&key(name), Bytes::from(name.clone()), &Put::default())
            .await;
        put.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
    }
    let listed = storage.list(None, None, 1000).await.unwrap().objects;
    let mut listed: Vec<String> = listed.iter().map(|object| object.key.to_string()).collect();
    listed.sort();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(listed, expected);
    for (at, name) in names.iter().enumerate() {
        assert_eq!(read(storage, name, None).await.unwrap(), Bytes::from(name.clone()));
        storage.delete(&key(name)).await.unwrap();
        let left = storage.list(None, None, 1000).await.unwrap().objects.len();
        assert_eq!(left, names.len() - at - 1, "{name}");
    }
}

pub async fn a_missing_key_is_missing_whatever_its_name_says(world: World) {
    let storage = &world.storage;
    for name in [
        "NoSuchBucket",
        "BadDigest",
        "a token request",
        "<Code>NoSuchBucket</Code>",
        "checksum",
        "InternalError",
    ] {
        assert_eq!(failed(storage.head(&key(name)).await), Kind::NotFound, "{name}");
        assert_eq!(failed(read(storage, name, None).await), Kind::NotFound, "{name}");
        assert_eq!(
            failed(storage.copy(&key(name), &key("b"), false).await),
            Kind::NotFound,
            "{name}"
        );
        storage.delete(&key(name)).await.unwrap();
        let put = Put {
            sha256: Some(Sha256::of(name.as_bytes())),
            ..Put::default()
        };
        storage.put(&key(name), Bytes::from(name), &put).await.unwrap();
        let again = storage.put(&key(name), Bytes::from(name), &put).await;
        assert_eq!(failed(again), Kind::AlreadyExists, "{name}");
    }
}

/// A server of S3 without versions reads the key as it is.
pub async fn a_version_that_was_put_is_read_or_not_found(world: World) {
    let (storage, name) = (&world.storage, key("replaced"));
    for size in [10, LARGE] {
        let overwrite = Put {
            overwrite: true,
            ..Put::default()
        };
        let first = storage.put(&name, content(size), &overwrite).await.unwrap();
        let head = storage.head(&name).await.unwrap();
        assert_eq!(head.version, first.version);
        let second = storage.put(&name, Bytes::from("x"), &overwrite).await.unwrap();
        assert_eq!(read(storage, name.as_str(), None).await.unwrap(), "x");
        let Some(version) = first.version else {
            assert_eq!(second.version, None);
            continue;
        };
        assert_ne!(second.version.as_ref(), Some(&version));
        match storage.get(name.at(Some(&version)), None).await {
            Err(error) => assert_eq!(error.kind, Kind::NotFound),
            Ok((object, stream)) => {
                let chunks: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
                assert_eq!(object.version, Some(version));
                assert!(chunks.concat() == content(size), "another content came back");
            }
        }
        storage.delete(name.at(second.version.as_deref())).await.unwrap();
    }
}
