//! Why a server cannot start, or its data not be deleted.

use std::{io, path::PathBuf};

/// Why a server cannot start, or its data not be deleted, in one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no Postgres, and none could be fetched.
    #[error(
        "no PostgreSQL on this machine, and none could be fetched with npm or apt-get: install it, or set DATABASE_URL"
    )]
    NoBinaries,
    /// Postgres refuses to run as root, and the machine has no other user for it.
    #[error("PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A folder belongs to another user, or others can write to it.
    #[error("{0} belongs to somebody else or is open to others: remove it")]
    NotOurs(PathBuf),
    /// Another process uses the server.
    #[error("the server in {0} is in use")]
    InUse(PathBuf),
    /// Postgres needs the name of the user that it runs as, and that user id has none.
    #[error(
        "PostgreSQL does not run as user id {0}, which has no name: add a line to /etc/passwd such as \
         dev:x:{0}:{0}::/tmp:/bin/sh, run as another user, or set DATABASE_URL"
    )]
    NoName(u32),
    /// initdb failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server did not become ready.
    #[error("PostgreSQL did not start: see {0}")]
    NotReady(PathBuf),
    /// The file system failed.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}
