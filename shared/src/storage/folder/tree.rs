//! Files below one folder, opened name by name: no symbolic link is followed, so that nothing outside is reached.

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
/// A pipe of that name would be waited for without the second.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open folder.
pub struct Folder(OwnedFd);

impl Folder {
    /// The one that a setting names, by a link too.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, FOLDER, Mode::empty())?))
    }

    /// One below this one.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        Ok(Self(fs::openat(
            &self.0,
            name,
            FOLDER | OFlags::NOFOLLOW,
            Mode::empty(),
        )?))
    }

    /// The folder of these names below this one.
    pub fn descend<S: AsRef<str>>(self, names: &[S]) -> io::Result<Self> {
        names.iter().try_fold(self, |folder, name| folder.child(name.as_ref()))
    }

    /// As [`Folder::descend`], making what is missing.
    pub fn make<S: AsRef<str>>(self, names: &[S]) -> io::Result<Self> {
        names.iter().try_fold(self, |folder, name| {
            match fs::mkdirat(&folder.0, name.as_ref(), Mode::from_bits_retain(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => folder.child(name.as_ref()),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// A file to read, which it must be.
    pub fn read(&self, name: &str) -> io::Result<File> {
        let file = File::from(fs::openat(&self.0, name, FILE | OFlags::RDONLY, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// A file to write. `flags`: what to do where it is there, or not.
    pub fn write(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::from_bits_retain(0o666);
        Ok(fs::openat(&self.0, name, FILE | OFlags::RDWR | flags, mode)?.into())
    }

    /// Moves a file, in one step: in the place of another, or where there is none.
    pub fn publish(&self, name: &str, to: &Self, to_name: &str, overwrite: bool) -> io::Result<()> {
        if overwrite {
            return Ok(fs::renameat(&self.0, name, &to.0, to_name)?);
        }
        fs::linkat(&self.0, name, &to.0, to_name, AtFlags::empty())?;
        self.remove(name)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Names of folders and of files; links and whatever else there is are neither.
    pub fn entries(&self) -> io::Result<(Vec<String>, Vec<String>)> {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for entry in Dir::read_from(self.0.as_fd())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let file_type = match entry.file_type() {
                FileType::Unknown => self.file_type(&name)?,
                known => known,
            };
            match file_type {
                FileType::Directory if name != "." && name != ".." => folders.push(name),
                FileType::RegularFile => files.push(name),
                _ => {}
            }
        }
        Ok((folders, files))
    }

    /// Where a file system does not tell it with the name.
    fn file_type(&self, name: &str) -> io::Result<FileType> {
        let stat = fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }
}
