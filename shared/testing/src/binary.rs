//! Real binaries as processes: as a server, under a Lambda Runtime API, as a job.

use super::{FakeRuntimeApi, Process};
use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

/// A binary and its settings. It sees nothing of the environment of the test but `PATH` and `HOME`.
#[derive(Clone, Debug)]
pub struct Binary {
    binary: PathBuf,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Binary {
    /// `env!("CARGO_BIN_EXE_name")`, which Cargo has built from the present sources: it knows the binaries of a test's
    /// package alone, so a suite stands in the package whose binary it runs.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            arguments: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Adds a setting.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// Adds settings.
    pub fn with_all(self, settings: &[(&str, &str)]) -> Self {
        let with = |binary: Self, (key, value): &(&str, &str)| binary.with(key, *value);
        settings.iter().fold(self, with)
    }

    /// Starts the binary through another program (`prlimit`, `unshare`, `sh -c`), whose last argument is the binary, and which
    /// then executes it.
    pub fn under(self, program: &[&str]) -> Self {
        let (binary, arguments) = program.split_first().expect("a program has a name");
        let own = self.binary.to_string_lossy().into_owned();
        Self {
            binary: binary.into(),
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .chain([own])
                .collect(),
            ..self
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        command.env_clear().env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        for inherited in ["PATH", "HOME"] {
            command.envs(std::env::var_os(inherited).map(|value| (inherited, value)));
        }
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts the binary as an HTTP server on a free port.
    pub fn serve(&self) -> Process {
        let mut binary = self.clone();
        if !self.settings.iter().any(|(key, _)| key == "PORT") {
            binary = binary.with("PORT", "0");
        }
        let mut server = Process::spawn(binary.command());
        let line = server.wait_for_line("\"listening\"");
        let line: serde_json::Value = serde_json::from_str(&line).expect("logs are JSON off a terminal");
        let address = line["address"].as_str().expect("the listening line has an address");
        let port = address.rsplit(':').next().expect("an address has a port");
        server.url = format!("http://127.0.0.1:{port}");
        server
    }

    /// Starts the binary in a Lambda environment; `api` hands out its events.
    pub fn on_lambda(&self, api: &FakeRuntimeApi) -> Process {
        let binary = self.clone().with("AWS_LAMBDA_RUNTIME_API", api.address());
        Process::spawn(binary.command())
    }

    /// Runs the binary to its end: a job, or a process that refuses to start.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the binary can be run")
    }

    /// Starts the binary as [`Binary::run`] does, without waiting for its end.
    pub fn start_run(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary can be run")
    }

    /// Starts the binary, and waits until a line of its output contains `ready`.
    pub fn start(&self, ready: &str) -> Process {
        let mut server = Process::spawn(self.command());
        server.wait_for_line(ready);
        server
    }
}
