//! The compiler with a folder for each package: Cargo runs this program in place of rustc, and this program runs rustc.
//! What a macro writes does not say which package it is of.

use std::{
    env, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The variable with the folder for all packages.
const FOLDER: &str = "QUERIES_FOLDER";

/// Makes `cargo` compile the packages of the workspace through this program.
pub fn wrap(cargo: &mut Command, folder: &Path) -> io::Result<()> {
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(FOLDER, folder);
    // A cache of the compiler's results does not know that they depend on a database.
    cargo.env("RUSTC_WRAPPER", "");
    Ok(())
}

/// Whether Cargo runs this program.
pub fn is_wanted() -> bool {
    env::var_os(FOLDER).is_some()
}

/// Becomes the compiler that the arguments name. Returns only if that fails.
pub fn run() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let mut rustc = Command::new(arguments.next().unwrap_or_else(|| "rustc".into()));
    if let (Some(folder), Some(package)) = (env::var_os(FOLDER), env::var_os("CARGO_PKG_NAME")) {
        let folder = PathBuf::from(folder).join(package);
        fs::create_dir_all(&folder)?;
        rustc.env("SQLX_OFFLINE_DIR", folder);
    }
    Err(rustc.args(arguments).exec())
}
