//! The packages of the workspace, and the data of their queries.

use crate::Error;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The data of each query: its file, and the content.
pub type Data = BTreeMap<PathBuf, String>;

/// The workspace of the current folder.
pub struct Workspace {
    pub root: PathBuf,
    /// The folder of each package, by its name.
    packages: BTreeMap<String, PathBuf>,
}

impl Workspace {
    pub fn read() -> Result<Self, Error> {
        let mut metadata = cargo();
        metadata.args(["metadata", "--format-version=1", "--no-deps", "--locked"]);
        let metadata = metadata.stderr(Stdio::inherit()).output()?;
        if !metadata.status.success() {
            return Err("Cargo cannot read the workspace".into());
        }
        let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let packages = metadata["packages"].as_array().into_iter().flatten().map(|package| {
            let mut folder = PathBuf::from(text(&package["manifest_path"]));
            folder.pop();
            (text(&package["name"]), folder)
        });
        Ok(Self {
            root: text(&metadata["workspace_root"]).into(),
            packages: packages.collect(),
        })
    }

    /// The data beside the packages.
    pub fn committed(&self) -> io::Result<Data> {
        let mut data = Data::new();
        for folder in self.packages.values() {
            let folder = folder.join(".sqlx");
            data.extend(read(&folder, &folder)?);
        }
        Ok(data)
    }

    /// The data that lies in `described`, in a folder for each package, as it would lie beside the packages.
    pub fn placed(&self, described: &Path) -> io::Result<Data> {
        let mut data = Data::new();
        for (name, folder) in &self.packages {
            data.extend(read(&described.join(name), &folder.join(".sqlx"))?);
        }
        Ok(data)
    }

    /// A file's path from the root, for messages.
    pub fn shown(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).display().to_string()
    }
}

/// The Cargo that runs this program, without what it has set for this package: the build script of ring runs again where these
/// variables differ, and everything above it is compiled again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_of_a_package(name: &str) -> bool {
    name == "OUT_DIR"
        || ["CARGO_MANIFEST_", "CARGO_PKG_"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

/// The files of one folder, as if they were in another one.
fn read(folder: &Path, other: &Path) -> io::Result<Data> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Data::new()),
        files => files?,
    };
    let read = |file: io::Result<fs::DirEntry>| {
        let file = file?;
        Ok((other.join(file.file_name()), fs::read_to_string(file.path())?))
    };
    files.map(read).collect()
}
