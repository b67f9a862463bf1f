//! The files in the folder: objects, and unfinished uploads.

use super::{file, name, tree::Folder};
use crate::{
    random,
    storage::{Attributes, Error, Key, Kind, Object, ObjectId, Put},
};
use rustix::fs::OFlags;
use std::{fs::File, io, path::PathBuf};

const OBJECTS: [&str; 1] = ["objects"];
const UPLOADS: [&str; 2] = [".pilotlight", "uploads"];

/// The folder that a setting names.
pub struct Root(pub PathBuf);

impl Root {
    fn open(&self) -> Result<Folder, Error> {
        Folder::open(&self.0).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::BucketNotFound,
                io::ErrorKind::PermissionDenied => Kind::Forbidden,
                _ => Kind::Other,
            };
            Error::new(kind, error)
        })
    }

    /// Refuses a folder of other files, or of objects in the layout of earlier releases: it would look like an empty
    /// bucket.
    pub fn check(&self) -> Result<(), Error> {
        let root = self.open()?;
        let is_new = || root.child(OBJECTS[0]).is_err();
        // Asked again, because the first put of another process may have made `objects` in the meantime.
        let is_foreign = is_new() && has_files(&root)? && is_new();
        if is_foreign || root.descend(&[UPLOADS[0], "attributes"]).is_ok() {
            let expected = "the folder of a bucket has its files in `objects`: name an empty one";
            return Err(Error::new(Kind::Misconfigured, expected));
        }
        Ok(())
    }

    pub fn objects(&self) -> Result<Folder, Error> {
        Ok(self.open()?.descend(&OBJECTS)?)
    }

    pub fn uploads(&self) -> Result<Folder, Error> {
        Ok(self.open()?.make(&UPLOADS)?)
    }

    pub fn find(&self, id: ObjectId<'_>) -> Result<(Object, File), Error> {
        let (folders, name) = name::names(id.key);
        let file = self.objects()?.descend(&folders)?.read(&name)?;
        let (size, attributes) = file::unseal(&file)?;
        let object = Object::with_attributes(id.key, size, file.metadata()?.modified()?, &attributes);
        if object.matches(id) {
            Ok((object, file))
        } else {
            Err(Kind::NotFound.into())
        }
    }

    /// An object of a listing, which a corrupt file must not break; `None` if the file has since been deleted.
    pub fn listed(&self, key: &Key) -> Result<Option<Object>, Error> {
        match self.find(key.into()) {
            Ok((object, _)) => Ok(Some(object)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) if error.kind == Kind::Corrupt => {
                let (folders, name) = name::names(key);
                let meta = self.objects()?.descend(&folders)?.read(&name)?.metadata()?;
                let attributes = Attributes::new(&Put::default())?;
                Ok(Some(Object::with_attributes(
                    key,
                    meta.len(),
                    meta.modified()?,
                    &attributes,
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a file beside the unfinished uploads, and moves it to its name when it is complete.
    pub fn put(
        &self,
        key: &Key,
        attributes: &Attributes,
        overwrite: bool,
        write: impl FnOnce(&File) -> io::Result<u64>,
    ) -> Result<Option<String>, Error> {
        let uploads = self.uploads()?;
        // Unique per attempt: one that timed out may still be writing.
        let aside = format!("{}-{:x}", attributes.upload, random::u64());
        let file = uploads.write(&aside, OFlags::CREATE | OFlags::EXCL)?;
        let put = write(&file)
            .map_err(Error::from)
            .and_then(|size| file::seal(&file, size, attributes))
            .and_then(|()| self.publish(&aside, key, overwrite));
        if put.is_err() {
            let _ = uploads.remove(&aside);
        }
        put.map(|()| Some(attributes.upload.clone()))
    }

    pub fn publish(&self, upload: &str, key: &Key, overwrite: bool) -> Result<(), Error> {
        let (folders, name) = name::names(key);
        let folder = self.open()?.make(&OBJECTS)?.make(&folders)?;
        Ok(self.uploads()?.publish(upload, &folder, &name, overwrite)?)
    }

    pub fn keys(&self) -> Result<Vec<Key>, Error> {
        let (mut keys, mut open) = (Vec::new(), vec![Vec::new()]);
        while let Some(path) = open.pop() {
            let entries = self
                .objects()
                .and_then(|objects| Ok(objects.descend(&path)?.entries()?));
            let (folders, files) = match entries {
                Err(error) if error.kind == Kind::NotFound => continue,
                entries => entries?,
            };
            keys.extend(files.iter().filter_map(|name| name::key(&path, name)));
            open.extend(folders.into_iter().map(|name| [&path[..], &[name]].concat()));
        }
        Ok(keys)
    }
}

/// Whether there is a file, at any depth, that is not hidden.
fn has_files(folder: &Folder) -> io::Result<bool> {
    let (folders, files) = folder.entries()?;
    let is_visible = |name: &&String| !name.starts_with('.');
    if files.iter().any(|name| is_visible(&name)) {
        return Ok(true);
    }
    let mut folders = folders.iter().filter(is_visible);
    folders.try_fold(false, |found, name| Ok(found || has_files(&folder.child(name)?)?))
}
