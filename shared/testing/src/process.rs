//! A process under test: what it writes, how it ends, and what the kernel counts of it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// `http://127.0.0.1:port`
    pub url: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        let read = |output| {
            let (log, sender) = (Arc::clone(&log), sender.clone());
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    *log.lock().expect("no test panics here") += &format!("{line}\n");
                    let _ = sender.send(line);
                }
            })
        };
        let readers = outputs.into_iter().map(read).collect();
        Self {
            url: String::new(),
            child,
            lines,
            log,
            readers,
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

    /// The port of [`url`](Self::url).
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("it is a server")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end of the process, and until its last lines are read. Returns its exit code, or `None` where a signal
    /// ended it.
    pub fn exit_code(&mut self, patience: Duration) -> Option<i32> {
        let code = ended(&mut self.child, patience);
        let code = code.unwrap_or_else(|| panic!("still running after {patience:?}:\n{}", self.log()));
        // Its children may hold its outputs open for longer.
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        code
    }

    /// Whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory, in KiB, as the kernel counts it.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// How much more of it there is than `before`, in KiB.
    pub fn grown_kib(&self, before: u64) -> u64 {
        self.resident_kib().saturating_sub(before)
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

/// Lets this process, and those that it starts from now on, open as many files as the system allows.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("it is not above the maximum");
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
