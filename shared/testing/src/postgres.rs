//! Postgres for tests: one server for a test binary, one database for a test, and separate servers to break.

use super::{free_port, process::signal};
use postgres::{Error, Options, PrivatePostgres};
use shared::{
    config::Env,
    database::{Database, MigratorSettings},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    fs,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A private server. It and its data end with the test binary.
pub struct Postgres {
    server: PrivatePostgres,
    options: Options,
    migrated_template: OnceCell<()>,
}

impl Postgres {
    /// The server that the tests of this binary share: a test that breaks its server starts another one.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));
        &SHARED
    }

    /// A server to break, with further settings. Roles need a password on 127.0.0.1 and none on its socket.
    pub fn start(settings: &[&str]) -> Self {
        let mut options = Options {
            home: None,
            // Shared with `local`.
            store: concat!(env!("CARGO_MANIFEST_DIR"), "/../../.local/programs").into(),
            durable: false,
            tcp_port: Some(free_port()),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
        };
        let start = |options: &Options| PrivatePostgres::start(options, |progress| eprintln!("{progress}"));
        let server = start(&options).or_else(|error| match error {
            // Somebody may have taken the port meanwhile.
            Error::NotReady(_) => {
                options.tcp_port = Some(free_port());
                start(&options)
            }
            error => Err(error),
        });
        Self {
            server: server.unwrap_or_else(|error| panic!("{error}")),
            options,
            migrated_template: OnceCell::new(),
        }
    }

    /// The URL of a new and empty database.
    pub async fn empty_database(&self) -> String {
        self.copy("template0").await
    }

    /// The URL of a new database with the schema of this build. It is a copy of `template1`, which is migrated once, so that
    /// it costs the same whatever the number of migrations.
    pub async fn migrated_database(&self) -> String {
        let template = self.tcp(&self.server.url("template1"));
        self.migrated_template.get_or_init(|| migrate(&template)).await;
        self.copy("template1").await
    }

    /// The URL of a copy of a database that nobody is connected to. Its files are copied, which takes half of the time that
    /// the default takes, to write each page to the log.
    async fn copy(&self, template: &str) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url()).await.expect("the server is up");
        // Servers before 15 know no other strategy.
        let has_strategies = connection.server_version_num() >= Some(150_000);
        let strategy = if has_strategies { "STRATEGY file_copy" } else { "" };
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}"));
        let created = sqlx::raw_sql(create).execute(&mut connection).await;
        created.unwrap_or_else(|error| panic!("{error}"));
        self.tcp(&self.server.url(&name))
    }

    /// The URL of the maintenance database.
    pub fn url(&self) -> String {
        self.tcp(&self.server.url("postgres"))
    }

    /// The folder of its Unix socket.
    pub fn socket(&self) -> String {
        let url = self.server.url("postgres");
        url.rsplit("host=").next().unwrap_or_default().to_owned()
    }

    /// The port on 127.0.0.1, where roles need their passwords.
    pub fn port(&self) -> u16 {
        self.options.tcp_port.expect("test servers listen")
    }

    /// The socket's file has the port of the server in its name.
    fn tcp(&self, url: &str) -> String {
        format!("{url}&port={}", self.port())
    }

    /// Sends a signal to the server's first process, such as `KILL`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.server.pid().expect("it runs"), name);
    }

    /// Sends a signal to the first process and to all its children, as a machine does that stands still.
    pub fn signal_all(&self, name: &str) {
        let server = self.server.pid().expect("it runs");
        let children = children(server).filter_map(|process| process.file_name()?.to_str()?.parse().ok());
        for process in std::iter::once(server).chain(children) {
            signal(process, name);
        }
    }

    /// The number of server processes that have a client. `pg_stat_activity` lacks those that still log in, and cannot be
    /// read while catalogs are locked.
    pub fn clients(&self) -> usize {
        let is_client = |process: &PathBuf| {
            let title = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
            title.contains("[local]") || title.contains("127.0.0.1(")
        };
        children(self.server.pid().expect("it runs")).filter(is_client).count()
    }

    /// Starts the server again after it was killed: Postgres refuses to while sessions of the former server live.
    pub fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = self.server.restart(&self.options) {
            assert!(Instant::now() < deadline, "{error}");
            sleep(Duration::from_millis(50));
        }
    }
}

/// The folders in /proc of a process's children.
fn children(of: u32) -> impl Iterator<Item = PathBuf> {
    let parent = format!("PPid:\t{of}\n");
    let processes = fs::read_dir("/proc")
        .expect("Linux")
        .flatten()
        .map(|process| process.path());
    processes.filter(move |process| fs::read_to_string(process.join("status")).is_ok_and(|it| it.contains(&parent)))
}

/// The name of the database that a URL names.
pub fn database_of(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// Brings a database to the schema of this build.
pub async fn migrate(url: &str) {
    let env = Env::new({
        let url = url.to_owned();
        move |key| (key == "DATABASE_URL").then(|| url.clone())
    });
    let database = Database::from_env(&env);
    let migrated = database
        .migrator(MigratorSettings::from_env(&env), "test")
        .up(None)
        .await;
    migrated.unwrap_or_else(|error| panic!("{error}"));
    // The session closes in a task, which would not run while the test blocks this thread next.
    database.until_jobs_have_left().await;
}

/// Runs SQL that returns nothing.
pub async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the server is up");
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The one number that a query returns.
pub async fn scalar(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("the server is up");
    let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(&mut connection)
        .await;
    number.unwrap_or_else(|error| panic!("{sql}: {error}"))
}
