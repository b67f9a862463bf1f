//! A system clock that jumps, by libfaketime: <https://github.com/wolfcw/libfaketime>.

use super::Binary;
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// The wall clock of the binaries that run under it. Their monotonic clock is the system's.
pub struct FakeClock {
    folder: TempDir,
}

impl FakeClock {
    /// A clock that is right for now. Panics where libfaketime is not installed.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let clock = Self { folder };
        clock.jump("+0");
        clock
    }

    /// The same binary under this clock.
    pub fn over(&self, binary: Binary) -> Binary {
        binary
            .with("LD_PRELOAD", libfaketime())
            .with("FAKETIME_TIMESTAMP_FILE", self.offset().to_string_lossy())
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    /// Sets the clock off by a number of seconds, such as `+3600`.
    pub fn jump(&self, offset: &str) {
        fs::write(self.offset(), offset).expect("there is room");
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

fn libfaketime() -> String {
    let folders = fs::read_dir("/usr/lib").expect("Linux").flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|library| library.exists());
    library
        .expect("libfaketime is installed")
        .to_string_lossy()
        .into_owned()
}
