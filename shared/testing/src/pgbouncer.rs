//! A real PgBouncer in front of a server of the tests.

use super::{Postgres, database_of, free_port, wait_for_port};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A PgBouncer. Dropping it ends the process.
pub struct PgBouncer {
    command: Command,
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one with further lines of settings. Any user may log in, and is the superuser in the server.
    pub fn start(postgres: &Postgres, settings: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("there is room");
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user=pilotlight\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\nadmin_users = admin\n{}\n",
            postgres.socket(),
            postgres.port(),
            settings.join("\n"),
        );
        fs::write(&file, text).expect("there is room");
        let mut command = Command::new("pgbouncer");
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        // PgBouncer refuses to run as root.
        if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
            command.args(["--user", "postgres"]);
        }
        let process = command.spawn().expect("pgbouncer is installed");
        wait_for_port(port);
        Self {
            command,
            process,
            port,
            _folder: folder,
        }
    }

    /// Kills it, with all its connections, and starts it again on the same port.
    pub fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = self.command.spawn().expect("pgbouncer is installed");
        wait_for_port(self.port);
    }

    /// The URL of a database through PgBouncer.
    pub fn url(&self, direct: &str) -> String {
        format!("postgresql://anyone@127.0.0.1:{}/{}", self.port, database_of(direct))
    }

    /// The URL of the console of PgBouncer.
    pub fn console(&self) -> String {
        format!("postgresql://admin@127.0.0.1:{}/pgbouncer", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
