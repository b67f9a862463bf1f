//! Real binaries as processes: as a server, under a Lambda Runtime API, as a job.

use super::FakeRuntimeApi;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
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

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// `http://127.0.0.1:port`
    pub url: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for output in outputs {
            let (log, sender) = (Arc::clone(&log), sender.clone());
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    *log.lock().expect("no test panics here") += &format!("{line}\n");
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            url: String::new(),
            child,
            lines,
            log,
        }
    }

    /// The next line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with {text:?} in:\n{}", self.log()),
            }
        }
    }

    /// The same, while the other tasks of the test go on.
    pub async fn next_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.lines.try_recv() {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(mpsc::TryRecvError::Empty) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(_) => panic!("no line with {text:?} in:\n{}", self.log()),
            }
        }
    }

    /// Everything that the process wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test panics here").clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end of the process. Returns its exit code, or `None` where a signal ended it.
    pub fn exit_code(&mut self, patience: Duration) -> Option<i32> {
        let code = ended(&mut self.child, patience);
        code.unwrap_or_else(|| panic!("still running after {patience:?}:\n{}", self.log()))
    }

    /// Is the process still running?
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory, in KiB, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most resident memory that it has had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|line| line.split_whitespace().next());
        figure
            .and_then(|figure| figure.parse().ok())
            .expect("the kernel counts it")
    }

    /// The number of open sockets.
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        let targets = descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }
}

/// Waits for the end of a process. Returns its exit code, or `None` where a signal ended it.
pub fn exit_code(process: &mut Child, patience: Duration) -> Option<i32> {
    ended(process, patience).unwrap_or_else(|| panic!("still running after {patience:?}"))
}

fn ended(process: &mut Child, patience: Duration) -> Option<Option<i32>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = process.try_wait().expect("it is our child") {
            return Some(status.code());
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to any process.
pub fn signal(pid: u32, name: &str) {
    send(&pid.to_string(), name);
}

/// Sends a signal to every process of a group.
pub fn signal_group(group: u32, name: &str) {
    send(&format!("-{group}"), name);
}

/// Uses the shell's `kill`: a small machine has no other.
fn send(to: &str, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", name, to])
        .status();
    assert!(sent.expect("sh is a command").success(), "no process {to} to signal");
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
