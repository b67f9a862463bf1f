//! `.local`: the folder of the private database, the private bucket and the issuer's key of a checkout.

use rustix::fs::OFlags;
use shared::config::Env;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The folder `.local` of a checkout.
#[derive(Clone)]
pub struct LocalFolder(PathBuf);

impl LocalFolder {
    /// In the checkout whose `cargo run` this is, or else in the current folder.
    pub fn from_env(env: &Env) -> Self {
        let package = env.text("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let checkout = package.and_then(|package| package.ancestors().nth(2).map(Path::to_owned));
        let folder = checkout.unwrap_or_else(|| PathBuf::from("."));
        Self(std::path::absolute(&folder).unwrap_or(folder).join(".local"))
    }

    /// The home of the private Postgres.
    pub fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    /// Where a Postgres that was fetched is installed.
    pub fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    /// The private bucket.
    pub fn bucket(&self) -> PathBuf {
        self.0.join("storage")
    }

    /// The file of the issuer's key, in a folder in which no other user can replace it: this one, or, where root uses the
    /// checkout of another user, one in `/var/tmp`, as with the private Postgres.
    ///
    /// # Errors
    /// The folder cannot be made, or belongs to another user.
    pub fn key(&self) -> Result<PathBuf, String> {
        self.make()?;
        let is_root = rustix::process::geteuid().is_root();
        let is_others =
            fs::symlink_metadata(&self.0).is_ok_and(|found| found.is_dir() && found.uid() != effective_uid());
        let folder = if is_root && is_others {
            self.of_root()?
        } else {
            self.0.clone()
        };
        self.is_ours(&folder)?;
        Ok(folder.join("issuer.pk8"))
    }

    /// A folder of root in place of this one.
    fn of_root(&self) -> Result<PathBuf, String> {
        let mut hash = DefaultHasher::new();
        self.0.hash(&mut hash);
        let folder = PathBuf::from(format!("/var/tmp/{}-{:016x}-issuer", shared::BUNDLE, hash.finish()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(format!("cannot make {}: {error}", folder.display()))
            }
            _ => Ok(folder),
        }
    }

    fn make(&self) -> Result<(), String> {
        fs::create_dir_all(&self.0).map_err(|error| format!("cannot make {}: {error}", self.0.display()))
    }

    /// Uses the folder until the lock is dropped: `reset` refuses meanwhile.
    pub fn share(&self) -> Result<File, String> {
        self.make()?;
        self.lock(File::try_lock_shared, "`cargo run -- reset` is running: try again")
    }

    /// Uses the folder alone until the lock is dropped; `None` if there is no folder.
    pub fn take(&self) -> Result<Option<File>, String> {
        if !self.is_ours(&self.0)? {
            return Ok(None);
        }
        let in_use = "a `cargo run` of this checkout is running: end it first";
        self.lock(File::try_lock, in_use).map(Some)
    }

    /// Whether this folder exists.
    ///
    /// # Errors
    /// It is a link or a file, or belongs to another user: nothing in it may be deleted.
    pub fn is_ours(&self, folder: &Path) -> Result<bool, String> {
        let found = match fs::symlink_metadata(folder) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(format!("cannot read {}: {error}", folder.display())),
        };
        if !found.is_dir() {
            return Err(format!("{} is not a folder but a link or a file", folder.display()));
        }
        if found.uid() != effective_uid() {
            return Err(format!(
                "{folder} belongs to another user: as root, delete it, or give it to the user of this checkout, by \
                 `chown -R USER '{folder}'`",
                folder = folder.display()
            ));
        }
        Ok(true)
    }

    fn lock(&self, lock: impl Fn(&File) -> Result<(), TryLockError>, in_use: &str) -> Result<File, String> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        // Another user may have put a link or a FIFO in its place, which is neither followed nor waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = options.custom_flags(flags.bits().cast_signed()).open(&path);
        let file = file.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        match lock(&file) {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(in_use.to_owned()),
            Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display())),
        }
    }
}

fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
