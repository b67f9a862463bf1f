//! Why there is no server, for the person at the terminal.

use std::{io, path::PathBuf};

/// Why there is no server: one sentence for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing on the machine, and nothing could be fetched.
    #[error(
        "no PostgreSQL on this machine, and none could be fetched with npm or apt-get: install it, or set DATABASE_URL"
    )]
    NoBinaries,
    /// Postgres refuses to run as root, and there is nobody else to run it as.
    #[error("PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A folder of ours is not ours.
    #[error("{0} belongs to somebody else or is open to others: remove it")]
    NotOurs(PathBuf),
    /// PostgreSQL asks for the name of the user that it runs as, and there is none.
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
