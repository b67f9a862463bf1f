//! The bucket that the settings name, at a command line: `STORAGE_URL=... bucket put KEY < FILE`.

use futures_util::TryStreamExt;
use shared::{
    config::Env,
    runtime::EXIT_USAGE,
    storage::{Error, Key, Put, Storage},
};
use std::{process::ExitCode, time::Duration};
use tokio::io::{AsyncWriteExt, stdin, stdout};
use tokio_util::io::ReaderStream;

const USAGE: &str =
    "bucket put KEY | get KEY [VERSION] | head KEY | list | copy KEY KEY | delete KEY | sign KEY [FILE_NAME]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let storage = Storage::from_env(&Env::from_process());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&storage, &arguments).await {
        Ok(None) => {
            eprintln!("{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
        Ok(Some(line)) => {
            // A closed standard output is not this program's error: the shell reports it.
            let mut out = stdout();
            let _ = out.write_all(line.as_bytes()).await;
            let _ = out.flush().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

/// What is printed at the end; `None` where the arguments are not a valid command.
async fn run(storage: &Storage, arguments: &[&str]) -> Result<Option<String>, Error> {
    Ok(Some(match *arguments {
        ["put", name] => put(storage, name).await?,
        ["get", name, ref version @ ..] if version.len() < 2 => {
            get(storage, name, version.first().copied()).await?;
            String::new()
        }
        ["head", name] => {
            let object = storage.head(&key(name)?).await?;
            let sha256 = object
                .sha256
                .map_or_else(|| "unknown".to_owned(), |sha256| sha256.to_string());
            format!("{} bytes, SHA-256 {sha256}\n", object.size)
        }
        ["list"] => list(storage).await?,
        ["copy", from, to] => {
            storage.copy(&key(from)?, &key(to)?, false).await?;
            String::new()
        }
        ["delete", name] => storage.delete(&key(name)?).await.map(|()| String::new())?,
        ["sign", name, ref file_name @ ..] if file_name.len() < 2 => {
            let hour = Duration::from_secs(60 * 60);
            let signed = storage
                .presign_get(&key(name)?, hour, file_name.first().copied())
                .await?;
            signed.url + "\n"
        }
        _ => return Ok(None),
    }))
}

async fn put(storage: &Storage, name: &str) -> Result<String, Error> {
    let content = ReaderStream::with_capacity(stdin(), 256 << 10);
    let stored = storage.put_stream(&key(name)?, content, &Put::default()).await?;
    let version = stored.version.map(|version| format!(", version {version}"));
    let version = version.unwrap_or_default();
    Ok(format!("{} bytes, SHA-256 {}{version}\n", stored.size, stored.sha256))
}

async fn get(storage: &Storage, name: &str, version: Option<&str>) -> Result<(), Error> {
    let (_, mut content) = storage.get(key(name)?.at(version), None).await?;
    let mut out = stdout();
    while let Some(chunk) = content.try_next().await? {
        if out.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let _ = out.flush().await;
    Ok(())
}

async fn list(storage: &Storage) -> Result<String, Error> {
    let (mut lines, mut next) = (String::new(), None);
    loop {
        let page = storage.list(None, next.as_deref(), 1000).await?;
        lines.extend(page.objects.iter().map(|object| format!("{}\n", object.key)));
        next = page.next;
        if next.is_none() {
            return Ok(lines);
        }
    }
}

fn key(text: &str) -> Result<Key, Error> {
    text.parse().map_err(Error::from)
}
