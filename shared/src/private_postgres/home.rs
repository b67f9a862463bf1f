//! The folder of a private Postgres, and the user it runs as: not root, and able to reach its folder.

use super::Error;
use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// A folder that exists, belongs to the user of the server, and is closed to everybody else.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    user: Option<User>,
}

/// Whom root runs the server as.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Home {
    /// Makes the folder, or takes the one that is there; a new one of our own where `wanted` is `None`.
    pub fn prepare(wanted: Option<&Path>) -> Result<Self, Error> {
        let user = user()?;
        let path = match wanted {
            None => temporary("/tmp", RandomState::new().hash_one(())),
            Some(wanted) => {
                let wanted = std::path::absolute(wanted).map_err(|error| Error::Io(wanted.to_owned(), error))?;
                if reachable(&wanted, user) {
                    wanted
                } else {
                    // A closed folder on the way, such as /root.
                    let mut hash = DefaultHasher::new();
                    wanted.hash(&mut hash);
                    temporary("/var/tmp", hash.finish())
                }
            }
        };
        let home = Self { path, user };
        home.make(&home.path)?;
        Ok(home)
    }

    /// The home that a data folder stands in.
    pub fn of(data: &Path) -> Self {
        Self {
            path: data.parent().unwrap_or(data).to_owned(),
            user: user().ok().flatten(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else holds the lock; it ends with the file.
    pub fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| Error::Io(path, error))
    }

    /// The folder of the server's socket: a short path, because a socket's may have 107 bytes (103 on macOS).
    pub fn sockets(&self) -> Result<PathBuf, Error> {
        let inside = self.path.join("run");
        let path = if inside.as_os_str().len() + "/.s.PGSQL.65535".len() <= 103 {
            inside
        } else {
            let mut hash = DefaultHasher::new();
            self.path.hash(&mut hash);
            temporary("/tmp", hash.finish())
        };
        self.make(&path)?;
        Ok(path)
    }

    /// Lets the command run as the owner of the folder, which is not root.
    pub fn run_as_owner(&self, command: &mut Command) {
        command.current_dir(&self.path);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
    }

    /// Makes a folder for the owner alone, or checks that the one that is there is such a folder.
    fn make(&self, path: &Path) -> Result<(), Error> {
        let io = |error| Error::Io(path.to_owned(), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => match self.user {
                Some(User { uid, gid }) => chown(path, Some(uid), Some(gid)).map_err(io),
                None => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(path).map_err(io)?;
                let own = || rustix::process::geteuid().as_raw();
                let owner = self.user.map_or_else(own, |user| user.uid);
                if found.is_dir() && found.uid() == owner && found.mode() & 0o077 == 0 {
                    Ok(())
                } else {
                    Err(Error::NotOurs(path.to_owned()))
                }
            }
            Err(error) => Err(io(error)),
        }
    }
}

fn temporary(parent: &str, name: u64) -> PathBuf {
    Path::new(parent).join(format!("pilotlight-{name:016x}"))
}

/// The user for the server: ourselves, or for root `postgres`, else `nobody`.
fn user() -> Result<Option<User>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let mut ids = fields.skip(1).map(str::parse);
            let (uid, gid) = (ids.next()?.ok()?, ids.next()?.ok()?);
            Some(User { uid, gid })
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .ok_or(Error::NoUser)
}

/// Whether a user other than us could walk down to the folder.
fn reachable(path: &Path, user: Option<User>) -> bool {
    user.is_none()
        || path.ancestors().skip(1).all(|folder| match fs::metadata(folder) {
            Ok(metadata) => metadata.mode() & 0o001 != 0,
            Err(_) => true,
        })
}
