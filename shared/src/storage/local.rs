//! A folder, or memory, through `object_store`: for development and tests.

use super::{
    Attributes, Body, Error, Key, Kind, Object, Page,
    objects::{body, failure, object, options, path},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    CopyMode, CopyOptions, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    local::LocalFileSystem, memory::InMemory,
};
use std::{collections::HashMap, io, ops::Range, path::PathBuf, sync::Arc};
use tokio::sync::{Mutex, OnceCell, RwLock};

/// Attributes are objects beside the objects, because a file has none.
pub struct Bucket {
    /// `None`: memory.
    folder: Option<PathBuf>,
    /// Opened by the first request, which a binary that probes alone never makes.
    store: OnceCell<Arc<dyn ObjectStore>>,
    uploads: Mutex<HashMap<String, Box<dyn MultipartUpload>>>,
    /// An object and its attributes change together, as far as this process goes.
    pairs: RwLock<()>,
}

impl Bucket {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            store: OnceCell::new(),
            uploads: Mutex::default(),
            pairs: RwLock::default(),
        }
    }

    /// Can the folder be read?
    pub async fn probe(&self) -> Result<(), Error> {
        match &self.folder {
            Some(folder) => probe(folder.clone()).await,
            None => Ok(()),
        }
    }

    async fn store(&self) -> Result<&Arc<dyn ObjectStore>, Error> {
        self.store.get_or_try_init(|| open(self.folder.clone())).await
    }

    pub async fn put(&self, key: &Key, content: Bytes, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        let _pairs = self.pairs.write().await;
        let mode = if overwrite { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let put = self.store().await?.put_opts(&path(key)?, content.into(), options).await;
        put.map_err(|error| failure(error, None))?;
        self.describe(key, given).await
    }

    pub async fn get(&self, key: &Key, range: Option<Range<u64>>, etag: Option<&str>) -> Result<(Object, Body), Error> {
        let _pairs = self.pairs.read().await;
        let found = self.described(key).await?;
        if range.as_ref().is_some_and(|range| range.start >= found.size) {
            return Err(Kind::InvalidRange.into());
        }
        let result = self.store().await?.get_opts(&path(key)?, options(range, etag)).await;
        Ok((found, body(result.map_err(|error| failure(error, None))?)))
    }

    pub async fn head(&self, key: &Key) -> Result<Object, Error> {
        let _pairs = self.pairs.read().await;
        self.described(key).await
    }

    /// Pages by the last key of the page before.
    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let prefix = under.map(path).transpose()?;
        let listed = self.store().await?.list(prefix.as_ref());
        let listed: Result<Vec<ObjectMeta>, _> = listed.try_collect().await;
        let mut listed = listed.map_err(|error| failure(error, None))?;
        listed.retain(|meta| page.is_none_or(|page| meta.location.as_ref() > page));
        listed.sort_by(|one, other| one.location.as_ref().cmp(other.location.as_ref()));
        let more = listed.len() > limit;
        listed.truncate(limit);
        let objects: Vec<Object> = listed
            .iter()
            .map(|meta| object(&Key::listed(meta.location.as_ref()), meta))
            .collect();
        let next = objects.last().filter(|_| more).map(|last| last.key.to_string());
        Ok(Page { objects, next })
    }

    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let _pairs = self.pairs.write().await;
        let both = stream::iter([Ok(path(&attributes_of(key))?), Ok(path(key)?)]).boxed();
        let deleted: Vec<_> = self.store().await?.delete_stream(both).collect().await;
        deleted
            .into_iter()
            .last()
            .map_or(Ok(()), |last| last.map(drop).map_err(|error| failure(error, None)))
    }

    pub async fn copy(&self, from: &Key, to: &Key, given: &Attributes, overwrite: bool) -> Result<(), Error> {
        let _pairs = self.pairs.write().await;
        let mode = if overwrite {
            CopyMode::Overwrite
        } else {
            CopyMode::Create
        };
        let copied = self
            .store()
            .await?
            .copy_opts(&path(from)?, &path(to)?, CopyOptions::new().with_mode(mode))
            .await;
        copied.map_err(|error| failure(error, None))?;
        self.describe(to, given).await
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        let upload = self.store().await?.put_multipart(&path(key)?).await;
        let upload = upload.map_err(|error| failure(error, None))?;
        self.uploads.lock().await.insert(key.to_string(), upload);
        Ok(key.to_string())
    }

    /// Parts come one after the other: a file grows at its end.
    pub async fn part(&self, upload: &str, content: Bytes) -> Result<String, Error> {
        let mut uploads = self.uploads.lock().await;
        let upload = uploads.get_mut(upload).ok_or(Kind::NotFound)?;
        let put = upload.put_part(content.into()).await;
        put.map_err(|error| failure(error, None))?;
        Ok(String::new())
    }

    pub async fn complete(&self, upload: &str) -> Result<(), Error> {
        let mut upload = self.uploads.lock().await.remove(upload).ok_or(Kind::NotFound)?;
        let completed = upload.complete().await;
        completed.map(drop).map_err(|error| failure(error, None))
    }

    pub async fn abort(&self, upload: &str) -> Result<(), Error> {
        let mut upload = self.uploads.lock().await.remove(upload).ok_or(Kind::NotFound)?;
        upload.abort().await.map_err(|error| failure(error, None))
    }

    async fn describe(&self, key: &Key, given: &Attributes) -> Result<(), Error> {
        let text = serde_json::to_vec(given).map_err(|error| Error::new(Kind::Other, error))?;
        let put = self.store().await?.put(&path(&attributes_of(key))?, text.into()).await;
        put.map(drop).map_err(|error| failure(error, None))
    }

    async fn described(&self, key: &Key) -> Result<Object, Error> {
        let meta = self.store().await?.head(&path(key)?).await;
        let found = object(key, &meta.map_err(|error| failure(error, None))?);
        let given = match self.store().await?.get(&path(&attributes_of(key))?).await {
            Ok(result) => result.bytes().await.map_err(|error| failure(error, None))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(found),
            Err(error) => return Err(failure(error, None)),
        };
        let given: Attributes = serde_json::from_slice(&given).map_err(|error| Error::new(Kind::Corrupt, error))?;
        Ok(Object {
            content_type: given.content_type,
            sha256: given.sha256,
            upload: Some(given.upload),
            ..found
        })
    }
}

/// On a thread of its own: a network file system can hang.
async fn open(folder: Option<PathBuf>) -> Result<Arc<dyn ObjectStore>, Error> {
    let Some(folder) = folder else {
        return Ok(Arc::new(InMemory::new()));
    };
    probe(folder.clone()).await?;
    let opened = tokio::task::spawn_blocking(|| LocalFileSystem::new_with_prefix(folder)).await;
    let store = opened.map_err(|panic| Error::new(Kind::Other, panic))?;
    let store = store.map_err(|error| failure(error, None))?;
    Ok(Arc::new(store.with_automatic_cleanup(true)))
}

fn attributes_of(key: &Key) -> Key {
    Key::own(&format!("attributes/{key}"))
}

async fn probe(folder: PathBuf) -> Result<(), Error> {
    let opened = tokio::task::spawn_blocking(move || std::fs::read_dir(folder).map(drop)).await;
    let opened = opened.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    opened.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::BucketNotFound,
            io::ErrorKind::PermissionDenied => Kind::Forbidden,
            _ => Kind::Other,
        };
        Error::new(kind, error)
    })
}
