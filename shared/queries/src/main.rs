//! `cargo run -p queries` renews `.sqlx`: it compiles every typed query against a private Postgres with the schema of
//! `migrations/`. With `--check` it changes nothing, and fails if a file is old.

mod sources;

use postgres::{Options, PrivatePostgres};
use sqlx::{Connection, PgConnection, migrate::Migrator};
use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

type Error = Box<dyn std::error::Error>;

/// The data of each query: the name of its file, and the content.
type Data = BTreeMap<String, String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => renew().await,
        ["--check"] => check().await,
        _ => Err("queries [--check]".into()),
    };
    done.map_or_else(failed, |()| ExitCode::SUCCESS)
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: Error) -> ExitCode {
    eprintln!("queries: {error}");
    ExitCode::FAILURE
}

async fn renew() -> Result<(), Error> {
    let (present, folder) = (present().await?, folder());
    for old in read(&folder)?.keys().filter(|name| !present.contains_key(*name)) {
        fs::remove_file(folder.join(old))?;
    }
    fs::create_dir_all(&folder)?;
    for (name, content) in &present {
        fs::write(folder.join(name), content)?;
    }
    println!("{} queries", present.len());
    Ok(())
}

async fn check() -> Result<(), Error> {
    let (present, committed) = (present().await?, read(&folder())?);
    let names = present.keys().chain(committed.keys());
    match names
        .into_iter()
        .find(|name| present.get(*name) != committed.get(*name))
    {
        Some(name) => {
            Err(format!(".sqlx/{name} is old or missing: run `cargo run -p queries` and commit .sqlx").into())
        }
        None => Ok(()),
    }
}

/// The data of the queries that the sources have now, by the schema that the migrations make now.
async fn present() -> Result<Data, Error> {
    let options = Options {
        home: None,
        store: root().join(".local/programs"),
        durable: false,
        tcp_port: None,
        settings: Vec::new(),
    };
    let server = PrivatePostgres::start(&options, |progress| eprintln!("queries: {progress}"))?;
    let url = server.url("postgres");
    let mut connection = PgConnection::connect(&url).await?;
    Migrator::new(root().join("migrations"))
        .await?
        .run(&mut connection)
        .await?;
    let data = tempfile::tempdir()?;
    compile(&url, data.path())?;
    Ok(read(data.path())?)
}

/// Has the macros of sqlx describe their queries.
fn compile(url: &str, data: &Path) -> Result<(), Error> {
    sources::touch(&root())?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut check = Command::new(cargo);
    check.args(["check", "--quiet", "--locked", "--workspace", "--all-targets"]);
    check.current_dir(root()).env("DATABASE_URL", url);
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", data);
    if check.status()?.success() {
        return Ok(());
    }
    Err("the sources do not compile against the migrations".into())
}

fn read(folder: &Path) -> io::Result<Data> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Data::new()),
        files => files?,
    };
    let read = |file: io::Result<fs::DirEntry>| {
        let file = file?;
        Ok((
            file.file_name().to_string_lossy().into_owned(),
            fs::read_to_string(file.path())?,
        ))
    };
    files.map(read).collect()
}

fn folder() -> PathBuf {
    root().join(".sqlx")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
