//! Starts a server under its supervisor.

use super::{Error, Options, PrivatePostgres, START_TIMEOUT, SUPERUSER, binaries::Binaries, home, users::Users};
use std::{
    io::Read,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const SUPERVISOR: &str = include_str!("supervisor.sh");

impl PrivatePostgres {
    /// Starts the server as its first user, and waits until it is ready.
    pub(crate) fn launch(&mut self, binaries: &Binaries, options: &Options) -> Result<(), Error> {
        let (input, member) = match self.home.control() {
            Some(control) => {
                let created = Users::new(control).create();
                let (input, member) = created.map_err(|error| Error::Io(control.to_owned(), error))?;
                (input, Some(member))
            }
            None => (Stdio::piped(), None),
        };
        let mut command = self.supervisor(binaries, options);
        command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
        // In its own process group, so that Ctrl-C does not reach the server before we have ended.
        let supervisor = command.process_group(0).spawn();
        self.supervisor = Some(supervisor.map_err(|error| Error::Io(PathBuf::from("sh"), error))?);
        self.member = member;
        self.wait_until_ready()
    }

    fn supervisor(&self, binaries: &Binaries, options: &Options) -> Command {
        // After a crash of the machine, another process may have the process id in the lock file. Postgres would refuse to
        // start; without the file it still finds a living server by its shared memory.
        let stale = if self.is_alive() { "stale" } else { "" };
        let remove = if options.home.is_none() { "remove" } else { "" };
        let mut command = Command::new("sh");
        command
            .args(["-c", SUPERVISOR, "postgres-supervisor"])
            .args([binaries.tool("postgres"), binaries.tool("initdb")])
            .arg(SUPERUSER)
            .arg(&self.data)
            .args([stale, remove])
            // JIT pays off on large tables only, and a fetched server comes without its compiler.
            .args(["-cjit=off", "-k"])
            .arg(&self.socket);
        let listen = match options.tcp_port {
            Some(port) => format!("-clisten_addresses=127.0.0.1 -cport={port}"),
            None => "-clisten_addresses=".to_owned(),
        };
        command.args(listen.split(' '));
        if !options.durable {
            command.args(["-cfsync=off", "-cfull_page_writes=off"]);
        }
        for setting in &options.settings {
            command.arg(format!("-c{setting}"));
        }
        // Variables such as PGPORT are meant for another server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        self.home.run_as_owner(binaries.environment(&mut command));
        command
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if self.is_ready() {
                return Ok(());
            }
            if let Some(Ok(Some(_))) = self.supervisor.as_mut().map(Child::try_wait) {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        Err(self.failure())
    }

    /// Why there is no server, from the output of initdb.
    fn failure(&mut self) -> Error {
        let mut output = String::new();
        // Standard error ends with the supervisor, which is stopped with its last user.
        self.member = None;
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            let stderr = supervisor.stderr.take();
            let _ = stderr.map(|stderr| stderr.take(1 << 16).read_to_string(&mut output));
            let _ = supervisor.wait();
        }
        let is_cause = |line: &&str| line.contains("FATAL") || line.contains("error:");
        // The cause comes first; the lines after it are about cleaning up.
        match output.lines().find(is_cause).or(output.lines().last()) {
            Some(cause) if cause.contains("could not look up effective user ID") => {
                Error::NoName(home::effective_uid())
            }
            Some(cause) => Error::Initdb(cause.to_owned()),
            None => Error::NotReady(self.data.join("server.log")),
        }
    }
}
