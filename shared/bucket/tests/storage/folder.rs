//! A bucket in a folder.

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, content, files, key, read, storage},
};
use futures_util::StreamExt;
use shared::storage::{Kind, Put, Reason, Retention, Storage};
use std::{
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, SystemTime},
};

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

fn in_folder() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(&[("STORAGE_URL", &format!("file://{}", folder.path().display()))]);
    (folder, storage)
}

#[tokio::test]
async fn no_link_leads_out_of_the_folder_and_none_breaks_a_listing() {
    let (folder, storage) = in_folder();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret%object"), "secret").unwrap();
    storage.put(&key("dir/x"), content(10), &Put::default()).await.unwrap();
    let objects = folder.path().join("objects");
    symlink(outside.path(), objects.join("out")).unwrap();
    symlink("..", objects.join("dir/parent")).unwrap();
    symlink(outside.path().join("secret%object"), objects.join("file%object")).unwrap();
    symlink("/nowhere", objects.join("dangling%object")).unwrap();
    for name in ["out/secret", "out/new", "dir/parent/dir/x", "file", "dangling"] {
        let name = key(name);
        assert_eq!(storage.head(&name).await.unwrap_err().kind, Kind::Forbidden, "{name}");
        assert_eq!(storage.delete(&name).await.unwrap_err().kind, Kind::Forbidden, "{name}");
        let put = storage.put(&name, content(10), &Put::default()).await.unwrap_err();
        assert!(
            matches!(put.kind, Kind::Forbidden | Kind::AlreadyExists),
            "{name}: {}",
            put.chain()
        );
        let copy = storage.copy(&key("dir/x"), &name, false).await.unwrap_err();
        assert!(
            matches!(copy.kind, Kind::Forbidden | Kind::AlreadyExists),
            "{name}: {}",
            copy.chain()
        );
    }
    assert_eq!(files(outside.path()), ["secret%object"]);
    assert_eq!(std::fs::read(outside.path().join("secret%object")).unwrap(), b"secret");
    let listed = storage.list(None, None, 10).await.unwrap().objects;
    assert_eq!(
        listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(),
        ["dir/x"]
    );
    assert_eq!(read(&storage, "dir/x", None).await.unwrap(), content(10));
    // Nor by the ways that uploads and all objects take.
    std::fs::remove_dir_all(&objects).unwrap();
    symlink(outside.path(), &objects).unwrap();
    assert_eq!(storage.probe().await, Err(Reason::Forbidden));
    std::fs::remove_file(&objects).unwrap();
    std::fs::remove_dir_all(folder.path().join(".pilotlight")).unwrap();
    symlink(outside.path(), folder.path().join(".pilotlight")).unwrap();
    let put = storage.put(&key("y"), content(LARGE), &Put::default()).await;
    assert_eq!(put.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(files(outside.path()), ["secret%object"]);
}

#[tokio::test]
async fn a_file_that_is_broken_or_foreign_breaks_itself_alone() {
    let (folder, storage) = in_folder();
    for name in ["whole", "empty", "short"] {
        storage.put(&key(name), content(10), &Put::default()).await.unwrap();
    }
    let objects = folder.path().join("objects");
    std::fs::write(objects.join("empty%object"), "").unwrap();
    let short = std::fs::read(objects.join("short%object")).unwrap();
    std::fs::write(objects.join("short%object"), &short[..short.len() - 1]).unwrap();
    std::fs::write(objects.join("foreign"), "").unwrap();
    let pipe = Command::new("mkfifo")
        .arg(objects.join("pipe%object"))
        .status()
        .unwrap();
    assert!(pipe.success());
    for (name, kind) in [
        ("empty", Kind::Corrupt),
        ("short", Kind::Corrupt),
        ("foreign", Kind::NotFound),
        ("pipe", Kind::NotFound),
    ] {
        assert_eq!(read(&storage, name, None).await.unwrap_err().kind, kind, "{name}");
    }
    let listed = storage.list(None, None, 10).await.unwrap().objects;
    let names: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(names, ["empty", "short", "whole"]);
    assert_eq!(read(&storage, "whole", None).await.unwrap(), content(10));
}

#[tokio::test]
async fn what_cannot_be_written_whole_is_not_there_and_can_be_put_again() {
    let (folder, storage) = in_folder();
    let in_the_way = folder.path().join(".pilotlight/uploads");
    std::fs::create_dir(folder.path().join(".pilotlight")).unwrap();
    std::fs::write(&in_the_way, "").unwrap();
    for size in [10, LARGE] {
        let put = storage.put(&key("a"), content(size), &Put::default()).await;
        assert_eq!(put.unwrap_err().kind, Kind::Forbidden);
        assert_eq!(storage.head(&key("a")).await.unwrap_err().kind, Kind::NotFound);
    }
    let endless = Put {
        content_type: Some("a".repeat(100_000)),
        ..Put::default()
    };
    std::fs::remove_file(&in_the_way).unwrap();
    let put = storage.put(&key("a"), content(10), &endless).await;
    assert_eq!(put.unwrap_err().kind, Kind::Invalid);
    let stored = storage.put(&key("a"), content(10), &Put::default()).await.unwrap();
    assert_eq!(storage.head(&key("a")).await.unwrap().sha256, Some(stored.sha256));
    assert_eq!(files(folder.path()), ["objects/a%object"]);
}

#[tokio::test]
async fn a_folder_of_something_else_or_of_an_older_layout_is_not_read_as_an_empty_one() {
    for foreign in ["report.pdf", "cases/1", ".pilotlight/attributes/a"] {
        let (folder, storage) = in_folder();
        let file = folder.path().join(foreign);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        let error = storage.head(&key("report.pdf")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Misconfigured, "{foreign}");
        assert!(error.chain().contains("objects"), "{}", error.chain());
        assert_eq!(storage.probe().await, Err(Reason::Misconfigured), "{foreign}");
        assert!(storage.put(&key("a"), content(1), &Put::default()).await.is_err());
    }
    let (folder, storage) = in_folder();
    std::fs::write(folder.path().join(".gitkeep"), "").unwrap();
    assert_eq!(storage.probe().await, Ok(()));
    storage.put(&key("a"), content(1), &Put::default()).await.unwrap();
    std::fs::write(folder.path().join("README.txt"), "").unwrap();
    assert_eq!(storage.probe().await, Ok(()));
}

#[test]
fn the_exit_code_says_whether_the_command_succeeded() {
    let (folder, _) = in_folder();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bucket"));
        let url = format!("file://{}", folder.path().display());
        command.args(arguments).env_clear().env("STORAGE_URL", url);
        command.output().unwrap()
    };
    for nothing in [
        &[][..],
        &["put"],
        &["put", "a", "b"],
        &["get", "a", "1", "2"],
        &["move", "a"],
    ] {
        let output = run(nothing);
        assert_eq!(output.status.code(), Some(64), "{nothing:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{nothing:?}");
    }
    for (code, arguments) in [
        (1, ["head", "a"]),
        (0, ["put", "a"]),
        (0, ["head", "a"]),
        (0, ["get", "a"]),
    ] {
        assert_eq!(run(&arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_or_deleted_while_it_is_read_is_read_to_its_end() {
    let (_folder, storage) = in_folder();
    storage.put(&key("a"), content(LARGE), &Put::default()).await.unwrap();
    let (_, mut stream) = storage.get(&key("a"), None).await.unwrap();
    let mut found = stream.next().await.unwrap().unwrap().to_vec();
    let overwrite = Put {
        overwrite: true,
        ..Put::default()
    };
    storage.put(&key("a"), content(10), &overwrite).await.unwrap();
    storage.delete(&key("a")).await.unwrap();
    while let Some(chunk) = stream.next().await {
        found.extend(chunk.unwrap());
    }
    assert!(found == content(LARGE), "another content came back");
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
