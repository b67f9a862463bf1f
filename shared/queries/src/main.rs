//! `cargo run -p queries` renews the folder `.sqlx` of each package: it compiles the typed queries against a private
//! Postgres with the schema of `migrations/`. With `--check` it changes nothing, and fails if a file is old.

mod packages;
mod rustc;
mod schema;
mod sources;

use packages::{Data, Workspace};
use std::{env, fs, io, path::Path, process::ExitCode};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        _ if rustc::is_wanted() => rustc::run().map_err(Error::from),
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
    let workspace = Workspace::read()?;
    let (present, committed) = (present(&workspace).await?, workspace.committed()?);
    for old in committed.keys().filter(|file| !present.contains_key(*file)) {
        fs::remove_file(old)?;
        println!("removed {}", workspace.shown(old));
    }
    for (file, content) in present
        .iter()
        .filter(|(file, content)| committed.get(*file) != Some(content))
    {
        fs::create_dir_all(folder(file))?;
        fs::write(file, content)?;
        println!("wrote {}", workspace.shown(file));
    }
    committed.keys().try_for_each(|file| remove_if_empty(folder(file)))?;
    println!("{} queries", present.len());
    Ok(())
}

async fn check() -> Result<(), Error> {
    let workspace = Workspace::read()?;
    let (present, committed) = (present(&workspace).await?, workspace.committed()?);
    let mut files = present.keys().chain(committed.keys());
    match files.find(|file| present.get(*file) != committed.get(*file)) {
        Some(file) => {
            let file = workspace.shown(file);
            Err(
                format!("{file} is old, missing or not used: run `cargo run -p queries` and commit what it writes")
                    .into(),
            )
        }
        None => Ok(()),
    }
}

/// The data of the queries that the sources have now, by the schema that the migrations make now.
async fn present(workspace: &Workspace) -> Result<Data, Error> {
    let server = schema::serve(&workspace.root).await?;
    let described = tempfile::tempdir()?;
    sources::touch(&workspace.root)?;
    let mut check = packages::cargo();
    check.args([
        "check",
        "--quiet",
        "--locked",
        "--keep-going",
        "--workspace",
        "--all-targets",
    ]);
    check.current_dir(&workspace.root);
    check
        .env("DATABASE_URL", server.url(schema::DATABASE))
        .env("SQLX_OFFLINE", "false");
    rustc::wrap(&mut check, described.path())?;
    if !check.status()?.success() {
        return Err("the sources do not compile against migrations/, see above; nothing has changed".into());
    }
    Ok(workspace.placed(described.path())?)
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

fn remove_if_empty(folder: &Path) -> io::Result<()> {
    match fs::read_dir(folder).map(|mut files| files.next().is_none()) {
        Ok(true) => fs::remove_dir(folder),
        _ => Ok(()),
    }
}
