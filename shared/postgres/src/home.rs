//! The folders of a private Postgres, and the user it runs as: not root, and able to reach its folder.

use super::Error;
use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Two folders: one that belongs to the server's user and is closed to everybody else, and one in which that user can change
/// nothing. As root, this process opens, writes and executes files in the second one only.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// `None` for a server in a temporary folder, which no other process can find and join.
    control: Option<PathBuf>,
    user: Option<User>,
}

/// The user that root runs the server as.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Home {
    /// Creates the folders, or checks those that exist; a temporary one where `wanted` is `None`.
    pub fn prepare(wanted: Option<&Path>) -> Result<Self, Error> {
        let user = user()?;
        let (path, control) = match wanted {
            None => (temporary("/tmp", RandomState::new().hash_one(())), None),
            Some(wanted) => {
                let path = place(wanted, user)?;
                let control = control(&path);
                (path, Some(control))
            }
        };
        if let Some(control) = &control {
            make_ours(control)?;
        }
        let home = Self { path, control, user };
        home.make(&home.path)?;
        Ok(home)
    }

    /// The folders of an earlier start, checked; `None` where there are none.
    pub fn find(wanted: &Path) -> Result<Option<Self>, Error> {
        let path = place(wanted, user()?)?;
        match fs::symlink_metadata(&path) {
            Ok(_) => Self::prepare(Some(wanted)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io(path, error)),
        }
    }

    /// A folder for programs: everybody can execute them, and only this process's user can change them.
    pub fn programs(wanted: &Path) -> Result<PathBuf, Error> {
        let path = place(wanted, user()?)?;
        make_ours(&path)?;
        Ok(path)
    }

    /// The folder of the server's files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of this process's files, for a server that can be joined.
    pub fn control(&self) -> Option<&Path> {
        self.control.as_deref()
    }

    /// The folder of the server's socket. Its path is short, because that of a socket has 107 bytes at most (103 on macOS).
    /// Where this folder is inside the server's folder, the supervisor creates it.
    pub fn sockets(&self) -> Result<PathBuf, Error> {
        let inside = self.path.join("run");
        if inside.as_os_str().len() + "/.s.PGSQL.65535".len() <= 103 {
            return Ok(inside);
        }
        let path = temporary("/tmp", hash(&self.path));
        self.make(&path)?;
        Ok(path)
    }

    /// Makes the command run as the owner of the folder, who is not root.
    pub fn run_as_owner(&self, command: &mut Command) {
        command.current_dir(&self.path);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
    }

    /// Creates a folder for the server's user alone, or checks that an existing one is such a folder.
    fn make(&self, path: &Path) -> Result<(), Error> {
        if create(path, 0o700)? {
            let User { uid, gid } = match self.user {
                Some(user) => user,
                None => return Ok(()),
            };
            return lchown(path, Some(uid), Some(gid)).map_err(|error| Error::Io(path.to_owned(), error));
        }
        let owner = self.user.map_or_else(effective_uid, |user| user.uid);
        check(path, |found| found.uid() == owner && found.mode() & 0o077 == 0)
    }
}

/// The folder of this process's files, beside that of the server's files.
fn control(home: &Path) -> PathBuf {
    let mut control = home.as_os_str().to_owned();
    control.push("-control");
    PathBuf::from(control)
}

/// Creates a folder that only this process's user can write to, or checks that an existing one is such a folder.
pub fn make_ours(path: &Path) -> Result<(), Error> {
    if create(path, 0o755)? {
        // The permissions must not depend on the umask.
        let permissions = fs::set_permissions(path, Permissions::from_mode(0o755));
        return permissions.map_err(|error| Error::Io(path.to_owned(), error));
    }
    check(path, |found| {
        found.uid() == effective_uid() && found.mode() & 0o022 == 0
    })
}

/// Creates a folder; `false` where it exists.
fn create(path: &Path, mode: u32) -> Result<bool, Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::Io(path.to_owned(), error)),
    }
}

fn check(path: &Path, accepted: impl FnOnce(&Metadata) -> bool) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(|error| Error::Io(path.to_owned(), error))?;
    if found.is_dir() && accepted(&found) {
        Ok(())
    } else {
        Err(Error::NotOurs(path.to_owned()))
    }
}

/// The wanted path, or one in `/var/tmp` where the server's user cannot reach the wanted one (a closed folder on the way,
/// such as `/root`), or could replace a folder on the way.
fn place(wanted: &Path, user: Option<User>) -> Result<PathBuf, Error> {
    let io = |error| Error::Io(wanted.to_owned(), error);
    let wanted = std::path::absolute(wanted).map_err(io)?;
    let parent = wanted.parent().unwrap_or(&wanted);
    fs::create_dir_all(parent).map_err(io)?;
    let parent = fs::canonicalize(parent).map_err(io)?;
    let suits = |user| parent.ancestors().all(|folder| suits(folder, user));
    Ok(match user {
        Some(user) if !suits(user) => temporary("/var/tmp", hash(&wanted)),
        _ => wanted,
    })
}

/// Whether a user can enter a folder, and replace nothing in it that belongs to others.
fn suits(folder: &Path, user: User) -> bool {
    const STICKY: u32 = 0o1000;
    fs::metadata(folder).is_ok_and(|folder| {
        let mode = folder.mode();
        let writable = (folder.gid() == user.gid && mode & 0o020 != 0) || mode & 0o002 != 0;
        mode & 0o001 != 0 && folder.uid() != user.uid && (!writable || mode & STICKY != 0)
    })
}

fn temporary(parent: &str, name: u64) -> PathBuf {
    Path::new(parent).join(format!("pilotlight-{name:016x}"))
}

fn hash(path: &Path) -> u64 {
    let mut hash = DefaultHasher::new();
    path.hash(&mut hash);
    hash.finish()
}

/// The user id of this process.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user for the server where this process runs as root: `postgres`, else `nobody`.
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
