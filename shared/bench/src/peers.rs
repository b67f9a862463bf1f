//! Peers that others wrote, in `peers/`: each is installed once below `target`, and started on a free port.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use testing::{Binary, Process, free_port};

/// Where the sources of a peer are.
pub fn sources(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer)
}

/// The folder below `target` that a peer is installed in: by `install`, unless `program` is there.
pub fn installed(peer: &str, program: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let target = binary.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let folder = target.join(peer);
    if !folder.join(program).exists() {
        fs::create_dir_all(&folder).expect("there is room");
        install(&folder);
    }
    folder
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
}

/// Starts a peer on the port that this variable names, and waits for a line with `ready`.
pub fn serve(peer: Binary, port_variable: &str, ready: &str) -> Process {
    let port = free_port();
    let mut server = peer.with(port_variable, port.to_string()).start(ready);
    server.url = format!("http://127.0.0.1:{port}");
    server
}
