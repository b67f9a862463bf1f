//! Uploads that are large, corrupt, or abandoned.

use super::*;

pub async fn a_large_object_goes_in_parts_and_leaves_none_behind(world: World) {
    let storage = &world.storage;
    let content = content((20 << 20) + 1);
    let chunks: Vec<Bytes> = content.chunks(100_003).map(Bytes::copy_from_slice).collect();
    let stored = storage
        .put_stream(
            &key("large"),
            stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)),
            &Put::default(),
        )
        .await
        .unwrap();
    assert_eq!(
        (stored.size, stored.sha256),
        (content.len() as u64, Sha256::of(&content))
    );
    let object = storage.head(&key("large")).await.unwrap();
    assert_eq!((object.size, object.sha256), (stored.size, Some(stored.sha256)));
    assert!(
        read(storage, "large", None).await.unwrap() == content,
        "another content came back"
    );
    assert_eq!((world.leftovers)(), Vec::<String>::new());
    assert_eq!(storage.list(None, None, 10).await.unwrap().objects.len(), 1);
}

pub async fn content_that_is_not_what_was_promised_is_not_stored(world: World) {
    let storage = &world.storage;
    let put = Put {
        sha256: Some(Sha256::of(b"something else")),
        ..Put::default()
    };
    for size in [10, LARGE] {
        let name = key(&format!("promised/{size}"));
        assert_eq!(failed(storage.put(&name, content(size), &put).await), Kind::Corrupt);
        assert_eq!(failed(storage.head(&name).await), Kind::NotFound);
    }
    assert_eq!((world.leftovers)(), Vec::<String>::new());
}

pub async fn a_source_that_fails_stores_nothing(world: World) {
    let storage = &world.storage;
    for size in [10, LARGE] {
        let name = key(&format!("failing/{size}"));
        let source = stream::iter([Ok(content(size)), Err(io::Error::other("the client has gone"))]);
        assert_eq!(
            failed(storage.put_stream(&name, source, &Put::default()).await),
            Kind::Body
        );
        assert_eq!(failed(storage.head(&name).await), Kind::NotFound);
    }
    assert_eq!((world.leftovers)(), Vec::<String>::new());
}

pub async fn an_upload_that_is_abandoned_leaves_nothing_behind(world: World) {
    let storage = &world.storage;
    let source = stream::iter([Ok::<_, Infallible>(content(LARGE))]).chain(stream::pending());
    let put = Put::default();
    let name = key("abandoned");
    let upload = storage.put_stream(&name, source, &put);
    let cut = tokio::time::timeout(Duration::from_secs(1), upload).await;
    assert!(cut.is_err(), "it waits for the rest");
    let mut left = (world.leftovers)();
    for _ in 0..100 {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        left = (world.leftovers)();
    }
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(failed(storage.head(&name).await), Kind::NotFound);
    // One that was never begun has nothing to leave.
    let never = storage.put_stream(&name, stream::pending::<Result<Bytes, Infallible>>(), &put);
    assert!(never.now_or_never().is_none());
}
