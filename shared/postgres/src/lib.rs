//! A private Postgres server, for development and for tests: found or fetched, on a Unix socket, and stopped when its last
//! user ends.

mod binaries;
mod erase;
mod error;
mod home;
mod launch;
mod users;

use binaries::Binaries;
pub use error::Error;
use home::Home;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::{
    fs::OpenOptions,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use users::{Member, Users};

/// Every byte of a path that may mean something else in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// A running server. It stops with its last user: when that user drops this, or when its process ends in any way.
#[derive(Debug)]
pub struct PrivatePostgres {
    socket: PathBuf,
    data: PathBuf,
    tcp_port: Option<u16>,
    home: Home,
    /// `None` for a server that cannot be joined.
    member: Option<Member>,
    /// `None` where another process started the server.
    supervisor: Option<Child>,
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of its data, or `None` for a temporary one.
    pub home: Option<PathBuf>,
    /// Where the programs of Postgres go on a machine that has none.
    pub store: PathBuf,
    /// Whether its data survives a crash of the machine.
    pub durable: bool,
    /// A port of 127.0.0.1 to listen on as well; roles need their passwords there.
    pub tcp_port: Option<u16>,
    /// Further settings of the server, as `name=value`.
    pub settings: Vec<String>,
}

const START_TIMEOUT: Duration = Duration::from_secs(60);

impl PrivatePostgres {
    /// Starts a server, or joins the one that already runs on the same home. `progress` is called before a slow step.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn start(options: &Options, progress: impl Fn(&str)) -> Result<Self, Error> {
        let home = Home::prepare(options.home.as_deref())?;
        let users = home.control().map(Users::new);
        let lock = users.as_ref().map(Users::lock).transpose()?;
        let binaries = Binaries::obtain(&options.store, progress)?;
        let data = home.path().join(format!("data-{}", binaries.major()));
        let mut server = Self::at(&home, data)?;
        server.tcp_port = options.tcp_port;
        if let Some(users) = &users {
            server.member = server.join(users);
        }
        if server.member.is_none() {
            server.stop_previous();
            server.launch(&binaries, options)?;
        }
        drop(lock);
        Ok(server)
    }

    /// The server of these data, which this process does not use yet.
    fn at(home: &Home, data: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            socket: home.sockets()?,
            data,
            tcp_port: None,
            home: home.clone(),
            member: None,
            supervisor: None,
        })
    }

    /// Becomes a user of the server that runs. The supervisor confirms, unless the last user has just ended: then the server
    /// stops. A server without a supervisor cannot be joined.
    fn join(&self, users: &Users) -> Option<Member> {
        let name = format!("{}", std::process::id());
        let member = users.join(&name)?;
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT && self.is_alive() {
            let joined = read(&self.home.path().join("joined"));
            if joined.is_some_and(|joined| joined.trim() == name) && self.is_ready() {
                return Some(member);
            }
            sleep(Duration::from_millis(10));
        }
        None
    }

    /// The server's URL for a superuser of the database `name`, through its Unix socket.
    pub fn url(&self, name: &str) -> String {
        let socket = percent_encode(self.socket.as_os_str().as_bytes(), ENCODED);
        format!("postgresql://{SUPERUSER}@localhost/{name}?host={socket}")
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.status_line(0)?.trim().parse().ok()
    }

    /// Starts the server again after it was killed.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`].
    pub fn restart(&mut self, options: &Options) -> Result<(), Error> {
        let binaries = Binaries::obtain(&options.store, |_| ())?;
        self.launch(&binaries, options)
    }

    /// Waits for a server that stops because its users have ended, and stops one whose supervisor was killed.
    fn stop_previous(&self) {
        if let Some(pid) = self.pid().filter(|_| self.is_ready()) {
            let mut stop = Command::new("sh");
            stop.args(["-c", "kill -INT \"$0\"", &pid.to_string()]);
            self.home.run_as_owner(&mut stop);
            let _ = stop.stderr(Stdio::null()).status();
        }
        self.wait_for_previous();
    }

    fn wait_for_previous(&self) {
        const STOP_TIMEOUT: Duration = Duration::from_secs(15);
        let start = Instant::now();
        while self.is_alive() && start.elapsed() < STOP_TIMEOUT {
            sleep(Duration::from_millis(10));
        }
    }

    /// Whether a process with the id in the server's lock file exists.
    fn is_alive(&self) -> bool {
        let pid = self
            .pid()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        // EPERM means that it exists and belongs to another user.
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }

    /// Postgres writes `ready` into the eighth line of its lock file, which may be stale: a connection proves that it is not.
    fn is_ready(&self) -> bool {
        let ready = self.status_line(7).is_some_and(|status| status.starts_with("ready"));
        let port = self.tcp_port.unwrap_or(5432);
        ready && UnixStream::connect(self.socket.join(format!(".s.PGSQL.{port}"))).is_ok()
    }

    fn status_line(&self, index: usize) -> Option<String> {
        let status = read(&self.data.join("postmaster.pid"))?;
        status.lines().nth(index).map(str::to_owned)
    }
}

const SUPERUSER: &str = "pilotlight";

/// The first 4 KiB of a file that another user can replace: a FIFO or a link in its place neither blocks nor is followed.
fn read(path: &Path) -> Option<String> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let mut text = String::new();
    file.ok()?.take(4096).read_to_string(&mut text).ok()?;
    Some(text)
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let member = self.member.take();
        // Under the lock, so that nobody joins a server that is about to stop.
        let control = self.home.control().filter(|_| member.is_some());
        let _lock = control.map(|control| Users::new(control).lock());
        let is_last = member.is_none_or(|member| member.is_last());
        if let Some(mut supervisor) = self.supervisor.take().filter(|_| is_last) {
            drop(supervisor.stdin.take());
            let _ = supervisor.wait();
        } else if is_last && control.is_some() {
            self.wait_for_previous();
        }
    }
}
