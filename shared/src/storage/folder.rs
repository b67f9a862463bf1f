//! A bucket in a folder, for development and tests. Objects are files below `objects`; unfinished uploads are in
//! `.pilotlight/uploads`.

mod file;
mod name;
mod root;
mod tree;

use super::{Attributes, Body, Error, Key, Kind, Object, ObjectId, Page, Put, blocking};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use root::Root;
use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

/// Bytes of one read.
const CHUNK: u64 = 256 << 10;

pub struct Bucket {
    path: PathBuf,
}

impl Bucket {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Runs on a blocking thread: a network file system can hang.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let root = Root(self.path.clone());
        blocking(move || root.check().and_then(|()| work(&root))).await
    }

    /// Whether the folder can be read.
    pub async fn probe(&self) -> Result<(), Error> {
        self.work(|root| match root.objects() {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    pub async fn put(
        &self,
        key: &Key,
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let (key, attributes) = (key.clone(), attributes.clone());
        self.work(move |root| {
            root.put(&key, &attributes, overwrite, |file| {
                file.write_all_at(&content, 0)?;
                Ok(content.len() as u64)
            })
        })
        .await
    }

    /// Reads the opened file to its end, even if it is replaced or deleted meanwhile.
    pub async fn get(
        &self,
        id: ObjectId<'_>,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<(Object, Body), Error> {
        let (object, file) = self.find(id).await?;
        let range = object.clamped(range, etag)?;
        let body = stream::try_unfold((Arc::new(file), range), |(file, mut range)| async {
            if range.is_empty() {
                return Ok(None);
            }
            let (source, start) = (Arc::clone(&file), range.start);
            range.start = range.end.min(start + CHUNK);
            let length = (range.start - start) as usize;
            let chunk = blocking(move || {
                let mut chunk = vec![0; length];
                source.read_exact_at(&mut chunk, start)?;
                Ok(Bytes::from(chunk))
            });
            Ok(Some((chunk.await?, (file, range))))
        });
        Ok((object, body.boxed()))
    }

    pub async fn head(&self, id: ObjectId<'_>) -> Result<Object, Error> {
        self.find(id).await.map(|(object, _)| object)
    }

    async fn find(&self, id: ObjectId<'_>) -> Result<(Object, File), Error> {
        let (key, version) = (id.key.clone(), id.version.map(str::to_owned));
        self.work(move |root| root.find(key.at(version.as_deref()))).await
    }

    /// `page` is the last key of the page before.
    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let (under, page) = (under.cloned(), page.map(str::to_owned));
        self.work(move |root| {
            let mut keys = root.keys()?;
            keys.retain(|key| key.is_listed(under.as_ref(), page.as_deref()));
            keys.sort();
            let more = keys.len() > limit;
            keys.truncate(limit);
            let next = keys.last().filter(|_| more).map(Key::to_string);
            let objects = keys.iter().filter_map(|key| root.listed(key).transpose());
            Ok(Page {
                objects: objects.collect::<Result<_, _>>()?,
                next,
            })
        })
        .await
    }

    pub async fn delete(&self, id: ObjectId<'_>) -> Result<(), Error> {
        let (key, version) = (id.key.clone(), id.version.map(str::to_owned));
        self.work(move |root| {
            root.find(key.at(version.as_deref()))?;
            let (folders, name) = name::names(&key);
            Ok(root.objects()?.descend(&folders)?.remove(&name)?)
        })
        .await
    }

    pub async fn copy(
        &self,
        from: &Object,
        to: &Key,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let (from, to, attributes) = (from.clone(), to.clone(), attributes.clone());
        self.work(move |root| {
            let (_, source) = root.find(from.id()).map_err(|_| Kind::PreconditionFailed)?;
            root.put(&to, &attributes, overwrite, |mut file| {
                io::copy(&mut source.take(from.size), &mut file)
            })
        })
        .await
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        let upload = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        self.work(move |root| {
            root.uploads()?.write(&upload, OFlags::CREATE)?;
            Ok(upload)
        })
        .await
    }

    /// Returns the length of the part. All parts but the last have one size, so that the offset of a part follows from
    /// its number, and a part can be repeated.
    pub async fn part(&self, _: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        let upload = upload.to_owned();
        self.work(move |root| {
            let file = root.uploads()?.write(&upload, OFlags::empty())?;
            file.write_all_at(&content, (number * super::upload::PART) as u64)?;
            Ok(content.len().to_string())
        })
        .await
    }

    pub async fn complete(&self, key: &Key, upload: &str, parts: &[String]) -> Result<(), Error> {
        let (key, upload) = (key.clone(), upload.to_owned());
        let size = parts.iter().filter_map(|part| part.parse::<u64>().ok()).sum();
        self.work(move |root| {
            let file = root.uploads()?.write(&upload, OFlags::empty())?;
            file::seal(&file, size, &Attributes::new(&Put::default())?)?;
            root.publish(&upload, &key, true)
        })
        .await
    }

    pub async fn abort(&self, _: &Key, upload: &str) -> Result<(), Error> {
        let upload = upload.to_owned();
        self.work(move |root| Ok(root.uploads()?.remove(&upload)?)).await
    }
}
