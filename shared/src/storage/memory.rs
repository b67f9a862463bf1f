//! A bucket in memory, for tests.

use super::{Attributes, Body, Error, Key, Kind, Object, ObjectId, Page};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

#[derive(Default)]
pub struct Bucket(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    objects: BTreeMap<Key, (Object, Bytes)>,
    /// The parts of each upload by number, by the id of the upload.
    uploads: HashMap<String, BTreeMap<usize, Bytes>>,
}

impl Bucket {
    pub async fn put(
        &self,
        key: &Key,
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        self.lock().put(key, content, attributes, overwrite)
    }

    pub async fn get(
        &self,
        id: ObjectId<'_>,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<(Object, Body), Error> {
        let (object, content) = self.lock().find(id)?;
        let range = object.clamped(range, etag)?;
        let content = content.slice(range.start as usize..range.end as usize);
        Ok((object, stream::iter([Ok(content)]).boxed()))
    }

    pub async fn head(&self, id: ObjectId<'_>) -> Result<Object, Error> {
        self.lock().find(id).map(|(object, _)| object)
    }

    pub async fn list(&self, under: Option<&Key>, page: Option<&str>, limit: usize) -> Result<Page, Error> {
        let contents = self.lock();
        let objects = contents.objects.values().map(|(object, _)| object);
        let found = objects.filter(|object| object.key.is_listed(under, page));
        let mut objects: Vec<Object> = found.take(limit + 1).cloned().collect();
        let more = objects.len() > limit;
        objects.truncate(limit);
        let next = objects.last().filter(|_| more).map(|last| last.key.to_string());
        Ok(Page { objects, next })
    }

    pub async fn delete(&self, id: ObjectId<'_>) -> Result<(), Error> {
        let mut contents = self.lock();
        contents.find(id)?;
        contents.objects.remove(id.key);
        Ok(())
    }

    pub async fn copy(
        &self,
        from: &Object,
        to: &Key,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        let mut contents = self.lock();
        let (_, content) = contents.find(from.id()).map_err(|_| Kind::PreconditionFailed)?;
        contents.put(to, content, attributes, overwrite)
    }

    pub async fn begin(&self, key: &Key) -> Result<String, Error> {
        self.lock().uploads.insert(key.to_string(), BTreeMap::new());
        Ok(key.to_string())
    }

    pub async fn part(&self, _: &Key, upload: &str, number: usize, content: Bytes) -> Result<String, Error> {
        let mut contents = self.lock();
        let parts = contents.uploads.get_mut(upload).ok_or(Kind::NotFound)?;
        parts.insert(number, content);
        Ok(String::new())
    }

    pub async fn complete(&self, key: &Key, upload: &str, _: &[String]) -> Result<(), Error> {
        let mut contents = self.lock();
        let parts = contents.uploads.remove(upload).ok_or(Kind::NotFound)?;
        let content: Vec<u8> = parts.into_values().flatten().collect();
        let attributes = Attributes::new(&super::Put::default())?;
        contents.put(key, content.into(), &attributes, true).map(drop)
    }

    pub async fn abort(&self, _: &Key, upload: &str) -> Result<(), Error> {
        self.lock().uploads.remove(upload);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn put(
        &mut self,
        key: &Key,
        content: Bytes,
        attributes: &Attributes,
        overwrite: bool,
    ) -> Result<Option<String>, Error> {
        if !overwrite && self.objects.contains_key(key) {
            return Err(Kind::AlreadyExists.into());
        }
        let object = Object::with_attributes(key, content.len() as u64, SystemTime::now(), attributes);
        let version = object.version.clone();
        self.objects.insert(key.clone(), (object, content));
        Ok(version)
    }

    fn find(&self, id: ObjectId<'_>) -> Result<(Object, Bytes), Error> {
        let found = self.objects.get(id.key).filter(|(object, _)| object.matches(id));
        Ok(found.cloned().ok_or(Kind::NotFound)?)
    }
}

/// Shared by the folder and memory.
impl Object {
    /// Every put makes a new version, which replaces the one before.
    pub(super) fn with_attributes(key: &Key, size: u64, modified: SystemTime, attributes: &Attributes) -> Self {
        Self {
            key: key.clone(),
            version: Some(attributes.upload.clone()),
            size,
            etag: Some(format!("\"{}\"", attributes.upload)),
            modified,
            content_type: attributes.content_type.clone(),
            sha256: attributes.sha256,
            crc32c: None,
            upload: Some(attributes.upload.clone()),
        }
    }

    pub(super) fn matches(&self, id: ObjectId<'_>) -> bool {
        id.version
            .is_none_or(|version| self.version.as_deref() == Some(version))
    }

    /// The bytes to read, within the object.
    pub(super) fn clamped(&self, range: Option<Range<u64>>, etag: Option<&str>) -> Result<Range<u64>, Error> {
        if etag.is_some_and(|etag| self.etag.as_deref() != Some(etag)) {
            return Err(Kind::PreconditionFailed.into());
        }
        match range {
            None => Ok(0..self.size),
            Some(range) if range.start < self.size => Ok(range.start..range.end.min(self.size)),
            Some(_) => Err(Kind::InvalidRange.into()),
        }
    }
}

impl Key {
    /// Whether the key is below `under`, and after `page`, the last key of the page before.
    pub(super) fn is_listed(&self, under: Option<&Self>, page: Option<&str>) -> bool {
        let below = |under: &Self| {
            let rest = self.as_str().strip_prefix(under.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        under.is_none_or(below) && page.is_none_or(|page| self.as_str() > page)
    }
}
