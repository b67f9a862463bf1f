//! The processes that use one server: the last one to end stops it.

use super::Error;
use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The files that count the users, in a folder in which the server's user can change nothing. A lock ends with its process.
#[derive(Debug)]
pub struct Users {
    folder: PathBuf,
}

/// A user of a server. Each holds the supervisor's FIFO open; when all have closed it, the supervisor stops the server.
#[derive(Debug)]
pub struct Member {
    _fifo: File,
    used: File,
}

impl Users {
    pub fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder }
    }

    /// Waits until no other process starts, joins or leaves.
    pub fn lock(&self) -> Result<File, Error> {
        let lock = self.open("start.lock").and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| Error::Io(self.folder.join("start.lock"), error))
    }

    /// Creates the FIFO: its end for the supervisor, and the first member.
    pub fn create(&self) -> io::Result<(Stdio, Member)> {
        let path = self.folder.join("users");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let made = Command::new("mkfifo").args(["-m", "600"]).arg(&path).status()?;
        if !made.success() {
            return Err(io::Error::other("mkfifo failed"));
        }
        // Opening one end of a FIFO waits for the other; this one is both.
        let both = OpenOptions::new().read(true).write(true).open(&path)?;
        let read = File::open(&path)?;
        let member = self.member(OpenOptions::new().write(true).open(&path)?)?;
        drop(both);
        Ok((Stdio::from(read), member))
    }

    /// Joins the server whose supervisor reads the FIFO, under a name; `None` where no supervisor reads.
    pub fn join(&self, name: &str) -> Option<Member> {
        let mut fifo = OpenOptions::new();
        let fifo = fifo
            .write(true)
            .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOFOLLOW));
        let mut fifo = fifo.open(self.folder.join("users")).ok()?;
        writeln!(fifo, "{name}").ok()?;
        self.member(fifo).ok()
    }

    /// Whether there is a user. Call it under [`Users::lock`], so that nobody joins meanwhile.
    pub fn any(&self) -> Result<bool, Error> {
        let used = self.open("used.lock");
        let used = used.map_err(|error| Error::Io(self.folder.join("used.lock"), error))?;
        Ok(matches!(used.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn member(&self, fifo: File) -> io::Result<Member> {
        let used = self.open("used.lock")?;
        used.lock_shared()?;
        Ok(Member { _fifo: fifo, used })
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        options
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(self.folder.join(name))
    }
}

impl Member {
    /// Whether this is the only one. Call it under [`Users::lock`], so that nobody joins meanwhile.
    pub fn is_last(&self) -> bool {
        // The kernel releases the shared lock before it tries the exclusive one (flock(2)), which is harmless here.
        !matches!(self.used.try_lock(), Err(TryLockError::WouldBlock))
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
