//! A folder and memory.

mod folder {
    use crate::{
        conformance::{conforms, decides_races, takes_every_key},
        world::{World, content, files, key, read, storage},
    };
    use shared::storage::{Kind, Put, Retention};
    use std::time::{Duration, SystemTime};

    async fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        World {
            storage: storage(&[("STORAGE_URL", &format!("file://{}", path.display()))]),
            leftovers: Box::new(move || {
                let mut left = files(&path);
                left.retain(|file| file.contains("uploads"));
                left
            }),
            _server: Box::new(folder),
        }
    }

    conforms!(world());
    decides_races!(world());
    takes_every_key!(world());

    #[tokio::test]
    async fn a_file_that_rots_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&[("STORAGE_URL", &format!("file://{}", folder.path().display()))]);
        storage.put(&key("a/b"), content(1000), &Put::default()).await.unwrap();
        let file = folder.path().join("objects/a/b%object");
        let mut rotten = std::fs::read(&file).unwrap();
        rotten[500] ^= 1;
        std::fs::write(&file, rotten).unwrap();
        assert_eq!(read(&storage, "a/b", None).await.unwrap_err().kind, Kind::Corrupt);
    }

    #[tokio::test]
    async fn it_has_no_urls_and_no_holds_and_says_so() {
        let world = world().await;
        let name = key("a");
        let signed = world.storage.presign_get(&name, Duration::from_secs(60), None).await;
        let held = world
            .storage
            .set_retention(&name, Retention::Governance(SystemTime::now()))
            .await;
        for error in [signed.unwrap_err(), held.unwrap_err()] {
            assert_eq!(error.kind, Kind::Unsupported);
            assert!(error.chain().contains("S3"), "{}", error.chain());
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_a_missing_bucket() {
        let storage = storage(&[("STORAGE_URL", "file:///nowhere/at/all")]);
        assert_eq!(storage.head(&key("a")).await.unwrap_err().kind, Kind::BucketNotFound);
    }
}

mod memory {
    use crate::{
        conformance::{conforms, decides_races, takes_every_key},
        world::{World, storage},
    };

    async fn world() -> World {
        World {
            storage: storage(&[("STORAGE_URL", "memory:")]),
            leftovers: Box::new(Vec::new),
            _server: Box::new(()),
        }
    }

    conforms!(world());
    decides_races!(world());
    takes_every_key!(world());
}
