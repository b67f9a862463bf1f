//! The suite that every backend must pass.

mod keys;
mod uploads;

use crate::world::{LARGE, World, content, key, read};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use shared::storage::{Kind, Put, Sha256};
use std::{convert::Infallible, io, time::Duration};

/// One test for each, over the world that the expression makes.
macro_rules! conforms {
    ($world:expr $(, #[$attribute:meta])*) => {
        crate::conformance::conforms!(@all {$(#[$attribute])*} $world;
            an_object_comes_back_as_it_was_put,
            a_put_is_create_only_unless_it_says_overwrite,
            a_range_is_that_part_of_the_content,
            what_is_not_there_is_not_found_and_deleted_all_the_same,
            a_listing_comes_in_pages_and_shows_no_object_of_the_storage_itself,
            a_copy_has_the_attributes_of_its_source,
            a_large_object_goes_in_parts_and_leaves_none_behind,
            content_that_is_not_what_was_promised_is_not_stored,
            a_source_that_fails_stores_nothing,
            an_upload_that_is_abandoned_leaves_nothing_behind,
            any_key_comes_back_as_it_is,
            a_missing_key_is_missing_whatever_its_name_says,
            a_version_that_was_put_is_read_or_not_found,
        );
    };
    (@all $attributes:tt $world:expr; $($name:ident,)+) => {
        $(crate::conformance::conforms!(@one $attributes $world, $name);)+
    };
    (@one {$(#[$attribute:meta])*} $world:expr, $name:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $name() {
            crate::conformance::$name($world.await).await;
        }
    };
}
pub(crate) use conforms;

/// For backends that do not store objects as files of their names.
macro_rules! takes_every_key {
    ($world:expr $(, #[$attribute:meta])*) => {
        crate::conformance::conforms!(@all {$(#[$attribute])*} $world; keys_that_are_alike_do_not_meet,);
    };
}
pub(crate) use takes_every_key;

/// For backends that look and write at once, as the real ones do.
macro_rules! decides_races {
    ($world:expr) => {
        crate::conformance::conforms!(@all {} $world;
            of_many_racers_exactly_one_wins,
            of_many_racers_with_large_objects_exactly_one_wins,
        );
    };
}
pub(crate) use decides_races;

pub use keys::*;
pub use uploads::*;

fn failed<T>(result: Result<T, shared::storage::Error>) -> Kind {
    match result {
        Ok(_) => panic!("it did not fail"),
        Err(error) => {
            eprintln!("{}", error.chain());
            error.kind
        }
    }
}

pub async fn an_object_comes_back_as_it_was_put(world: World) {
    let storage = &world.storage;
    for size in [0, 1, 100_000] {
        let (name, content) = (format!("size/{size}"), content(size));
        let put = Put {
            content_type: Some("application/pdf".to_owned()),
            ..Put::default()
        };
        let stored = storage.put(&key(&name), content.clone(), &put).await.unwrap();
        assert_eq!((stored.size, stored.sha256), (size as u64, Sha256::of(&content)));
        assert_eq!(read(storage, &name, None).await.unwrap(), content);
        let object = storage.head(&key(&name)).await.unwrap();
        assert_eq!(object.size, size as u64);
        assert_eq!(object.sha256, Some(stored.sha256));
        assert_eq!(object.content_type.as_deref(), Some("application/pdf"));
        assert!(
            object.modified.elapsed().unwrap_or_default() < Duration::from_secs(60),
            "{object:?}"
        );
    }
    let injected = Put {
        content_type: Some("text/plain\r\nX-Evil: 1".to_owned()),
        ..Put::default()
    };
    failed(storage.put(&key("injected"), Bytes::new(), &injected).await);
}

pub async fn a_put_is_create_only_unless_it_says_overwrite(world: World) {
    let storage = &world.storage;
    let overwrite = Put {
        overwrite: true,
        ..Put::default()
    };
    for size in [10, LARGE] {
        let name = key(&format!("once/{size}"));
        let first = content(size);
        storage.put(&name, first.clone(), &Put::default()).await.unwrap();
        assert_eq!(
            failed(storage.put(&name, Bytes::from("x"), &Put::default()).await),
            Kind::AlreadyExists
        );
        assert_eq!(
            failed(storage.put(&name, content(LARGE), &Put::default()).await),
            Kind::AlreadyExists
        );
        assert_eq!(read(storage, name.as_str(), None).await.unwrap(), first);
        let second = content(size - 1);
        storage.put(&name, second.clone(), &overwrite).await.unwrap();
        assert_eq!(read(storage, name.as_str(), None).await.unwrap(), second);
    }
}

async fn race(world: World, racers: usize, size: usize) {
    let name = key("raced");
    let puts = (0..racers).map(|racer| {
        let mut mine = content(size).to_vec();
        mine[0] = u8::try_from(racer).unwrap();
        let (storage, name) = (world.storage.clone(), name.clone());
        async move { storage.put(&name, mine.into(), &Put::default()).await }
    });
    let results = join_all(puts).await;
    let winners: Vec<usize> = (0..racers).filter(|racer| results[*racer].is_ok()).collect();
    let kinds: Vec<Option<Kind>> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.kind))
        .collect();
    assert_eq!(winners.len(), 1, "{kinds:?}");
    for lost in results.into_iter().filter(Result::is_err) {
        assert_eq!(failed(lost), Kind::AlreadyExists);
    }
    assert_eq!(
        usize::from(read(&world.storage, "raced", None).await.unwrap()[0]),
        winners[0]
    );
    assert_eq!((world.leftovers)(), Vec::<String>::new());
}

pub async fn of_many_racers_exactly_one_wins(world: World) {
    race(world, 20, 1000).await;
}

pub async fn of_many_racers_with_large_objects_exactly_one_wins(world: World) {
    race(world, 4, LARGE).await;
}

pub async fn a_range_is_that_part_of_the_content(world: World) {
    let storage = &world.storage;
    let content = content(10_000);
    storage
        .put(&key("ranged"), content.clone(), &Put::default())
        .await
        .unwrap();
    for (asked, given) in [
        (0..1, 0..1),
        (10..20, 10..20),
        (9_990..20_000, 9_990..10_000),
        (0..10_000, 0..10_000),
    ] {
        assert_eq!(
            read(storage, "ranged", Some(asked)).await.unwrap(),
            content.slice(given)
        );
    }
    for range in [10_000..10_001, 20_000..30_000, 5..5] {
        assert_eq!(failed(read(storage, "ranged", Some(range)).await), Kind::InvalidRange);
    }
}

pub async fn what_is_not_there_is_not_found_and_deleted_all_the_same(world: World) {
    let storage = &world.storage;
    assert_eq!(failed(storage.head(&key("nothing")).await), Kind::NotFound);
    assert_eq!(failed(read(storage, "nothing", None).await), Kind::NotFound);
    assert_eq!(
        failed(storage.copy(&key("nothing"), &key("else"), false).await),
        Kind::NotFound
    );
    storage.delete(&key("nothing")).await.unwrap();
    storage
        .put(&key("something"), Bytes::from("x"), &Put::default())
        .await
        .unwrap();
    storage.delete(&key("something")).await.unwrap();
    assert_eq!(failed(storage.head(&key("something")).await), Kind::NotFound);
    storage
        .put(&key("something"), Bytes::from("y"), &Put::default())
        .await
        .unwrap();
}

pub async fn a_listing_comes_in_pages_and_shows_no_object_of_the_storage_itself(world: World) {
    let storage = &world.storage;
    let mut names: Vec<String> = (0..25).map(|number| format!("listed/{number:02}/a & <b>")).collect();
    names.push("listed-not/x".to_owned());
    for name in &names {
        storage
            .put(&key(name), Bytes::from("x"), &Put::default())
            .await
            .unwrap();
    }
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    let under = key("listed");
    loop {
        let page = storage.list(Some(&under), next.as_deref(), 10).await.unwrap();
        assert!(page.objects.len() <= 10, "{page:?}");
        found.extend(page.objects.iter().map(|object| object.key.to_string()));
        match page.next {
            Some(token) => next = Some(token),
            None => break,
        }
    }
    assert_eq!(found, names[..25]);
    let all = storage.list(None, None, 1000).await.unwrap();
    assert_eq!(all.objects.len(), 26, "{all:?}");
    assert_eq!(all.objects[0].size, 1);
    assert_eq!(storage.list(Some(&key("nowhere")), None, 10).await.unwrap().objects, []);
}

pub async fn a_copy_has_the_attributes_of_its_source(world: World) {
    let storage = &world.storage;
    for (name, content) in [("empty", Bytes::new()), ("full ä?#%&+", content(1000))] {
        let put = Put {
            content_type: Some("image/png".to_owned()),
            ..Put::default()
        };
        let (from, to) = (key(name), key(&format!("{name}/copy")));
        let (from, to) = (key(&format!("from/{from}")), key(&format!("to/{to}")));
        storage.put(&from, content.clone(), &put).await.unwrap();
        storage.copy(&from, &to, false).await.unwrap();
        assert_eq!(read(storage, to.as_str(), None).await.unwrap(), content);
        let copy = storage.head(&to).await.unwrap();
        assert_eq!(copy.content_type.as_deref(), Some("image/png"));
        assert_eq!(copy.sha256, Some(Sha256::of(&content)));
        assert_eq!(failed(storage.copy(&from, &to, false).await), Kind::AlreadyExists);
        storage.copy(&from, &to, true).await.unwrap();
    }
}
