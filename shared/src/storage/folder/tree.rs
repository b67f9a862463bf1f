//! Files below one folder, opened name by name: no symbolic link is followed, so that nothing outside of
//! the folder is reached.

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
/// `NONBLOCK`, because opening a named pipe would wait for its other end.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open folder.
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder that a setting names, through a symbolic link too.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, FOLDER, Mode::empty())?))
    }

    /// Opens a folder in this one.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        Ok(Self(fs::openat(
            &self.0,
            name,
            FOLDER | OFlags::NOFOLLOW,
            Mode::empty(),
        )?))
    }

    /// Opens the folder at this path below this one.
    pub fn descend<S: AsRef<str>>(self, names: &[S]) -> io::Result<Self> {
        names.iter().try_fold(self, |folder, name| folder.child(name.as_ref()))
    }

    /// As [`Folder::descend`], and makes folders that are missing.
    pub fn make<S: AsRef<str>>(self, names: &[S]) -> io::Result<Self> {
        names.iter().try_fold(self, |folder, name| {
            match fs::mkdirat(&folder.0, name.as_ref(), Mode::from_bits_retain(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => folder.child(name.as_ref()),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Opens a regular file to read.
    pub fn read(&self, name: &str) -> io::Result<File> {
        let file = File::from(fs::openat(&self.0, name, FILE | OFlags::RDONLY, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Opens a file to write. `flags` say what to do if it exists, or does not.
    pub fn write(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::from_bits_retain(0o666);
        Ok(fs::openat(&self.0, name, FILE | OFlags::RDWR | flags, mode)?.into())
    }

    /// Moves a file in one step: over another if `overwrite`, or only if there is none.
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

    /// The names of folders and of regular files; links and other kinds are left out.
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

    /// The type of a file, for file systems whose directories do not name it.
    fn file_type(&self, name: &str) -> io::Result<FileType> {
        let stat = fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }
}
