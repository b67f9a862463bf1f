//! The packages of others, installed below `target`, once a test run: nothing is written into the checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tokio::{sync::OnceCell, task::spawn_blocking};

/// The folder with what npm has installed.
pub async fn npm() -> &'static Path {
    static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
    let install = || async {
        let install = || install("npm", &[&["npm", "ci", "--no-audit", "--no-fund"]]);
        spawn_blocking(install).await.unwrap()
    };
    INSTALLED.get_or_init(install).await
}

/// The folder with what pip has installed, in `venv`.
pub async fn pip() -> &'static Path {
    static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
    let install = || async {
        let venv = ["python3", "-m", "venv", "venv"];
        let pip = [
            "venv/bin/pip",
            "install",
            "--quiet",
            "--requirement",
            "requirements.txt",
        ];
        spawn_blocking(move || install("pip", &[&venv, &pip])).await.unwrap()
    };
    INSTALLED.get_or_init(install).await
}

fn install(name: &str, commands: &[&[&str]]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outsiders/packages");
    for file in fs::read_dir(packages).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    for command in commands {
        let run = Command::new(command[0])
            .args(&command[1..])
            .current_dir(&folder)
            .output();
        let run = run.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
    folder
}
